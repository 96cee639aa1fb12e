import { describe, expect, it } from 'vitest';
import { FilterError, openFilter } from '../../src/linux/filter.ts';

async function* repeat(text: string, times: number): AsyncGenerator<Buffer> {
  for (let count = 0; count < times; count += 1) yield Buffer.from(text);
}

async function outputOf(file: string, args: readonly string[], input: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const chunk of (await openFilter(file, args, input)) ?? []) parts.push(chunk);
  return Buffer.concat(parts).toString();
}

describe('openFilter', () => {
  it('gives what the program makes of its input, however much that is', async () => {
    expect(await outputOf('tr', ['a-z', 'A-Z'], repeat('abc', 3))).toBe('ABCABCABC');
    expect(await outputOf('cat', [], repeat('x'.repeat(100_000), 50))).toHaveLength(5_000_000);
  });

  it('is undefined where there is no such program, and the input is not touched', async () => {
    let touched = false;
    const input = async function* (): AsyncGenerator<Buffer> {
      touched = true;
      yield Buffer.from('x');
    };
    expect(await openFilter('no-such-program-anywhere', [], input())).toBeUndefined();
    expect(touched).toBe(false);
  });

  it('fails with code and message of a program that fails, also one that stops reading', async () => {
    const failure = await outputOf('sh', ['-c', 'echo broken >&2; exit 3'], repeat('x'.repeat(100_000), 100)).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(FilterError);
    expect(failure).toMatchObject({ exitCode: 3, message: expect.stringContaining('broken') as string });
    await expect(outputOf('sh', ['-c', 'kill -9 $$'], repeat('x', 1))).rejects.toMatchObject({ exitCode: undefined });
  });

  it('fails with what the input fails with', async () => {
    const input = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('x');
      throw new RangeError('the disk is gone');
    };
    await expect(outputOf('cat', [], input())).rejects.toThrowError('the disk is gone');
  });

  it('left early, the program is gone and the input closed', async () => {
    let closed = false;
    const endless = async function* (): AsyncGenerator<Buffer> {
      try {
        for (;;) yield Buffer.alloc(65_536, 'x');
      } finally {
        closed = true;
      }
    };
    for await (const chunk of (await openFilter('cat', [], endless())) ?? []) if (chunk.length > 0) break;
    expect(closed).toBe(true);
  });
});
