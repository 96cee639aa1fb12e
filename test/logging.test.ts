import { describe, expect, it } from 'vitest';
import { createLogger, redactSecrets, silentLogger, type Logger } from '../src/logging.ts';

const SECRETS = {
  headers: { Authorization: 'Basic abc', accept: 'json', 'proxy-authorization': 'x' },
  registries: [{ name: 'r', auth: 'abc', credentials: { username: 'u', password: 'p' } }],
  deep: { deeper: { identity_token: 't', refreshToken: 't', tokens: 3, apiKey: 'k', secret: 's' } },
};

describe('redactSecrets', () => {
  it('hides the values of keys that name secrets, at any depth, and leaves the rest and the original alone', () => {
    const before = JSON.stringify(SECRETS);
    expect(redactSecrets(SECRETS)).toEqual({
      headers: { Authorization: '[redacted]', accept: 'json', 'proxy-authorization': '[redacted]' },
      registries: [{ name: 'r', auth: '[redacted]', credentials: '[redacted]' }],
      deep: { deeper: { identity_token: '[redacted]', refreshToken: '[redacted]', tokens: 3, apiKey: '[redacted]', secret: '[redacted]' } },
    });
    expect(JSON.stringify(SECRETS)).toBe(before);
  });

  it('ends for data that contains itself', () => {
    const circle: Record<string, unknown> = { password: 'p' };
    circle['self'] = circle;
    expect(JSON.stringify(redactSecrets(circle))).not.toContain('"p"');
  });
});

describe('createLogger', () => {
  it('writes JSON lines with child bindings, causes of errors, and no secret', async () => {
    const lines: string[] = [];
    const logger: Logger = await createLogger({ level: 'info', write: (line) => lines.push(line) });
    const child = logger.child({ container: 'c1', token: 'hidden' });
    child.info({ request: SECRETS }, 'pulled');
    child.warn({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
    child.debug({}, 'too quiet');
    expect(lines).toHaveLength(2);
    const [first, second] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).toMatchObject({ level: 'info', container: 'c1', token: '[redacted]', msg: 'pulled', request: { headers: { accept: 'json' } } });
    expect(lines.join('')).not.toMatch(/hidden|Basic|"p"/);
    expect(second).toMatchObject({ level: 'warn', err: { message: 'outer', cause: { message: 'inner' } } });
  });

  it('is silent by default in the library', () => {
    expect(silentLogger.child({ a: 1 })).toBe(silentLogger);
    expect(silentLogger.error({ err: new Error('x') }, 'unheard')).toBeUndefined();
  });
});
