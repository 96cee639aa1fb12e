import type { Engine, EngineOptions } from '../index.ts';
import type { CommandLine } from './command-line.ts';
import { createLog } from './log.ts';

/**
 * Opens the engine on the directory, waiting for another command that holds it, puts the directory in order as after a crash, runs
 * `body`, and closes the engine whatever happens. Every container that is there is known: only `rootwright recover --known` says otherwise.
 */
export async function withEngine<T>(
  cli: CommandLine,
  body: (engine: Engine) => Promise<T>,
  options: { readonly recover?: boolean } & Pick<EngineOptions, 'backend'> = {},
): Promise<T> {
  const { recover = true, ...engineOptions } = options;
  const { createEngine } = await import('../index.ts');
  const engine = await createEngine(
    {
      root: cli.settings.root,
      logger: await createLog(cli),
      lockWaitMs: cli.settings.waitMs,
      onLockWait: () => cli.output.note(`waiting for another command that holds ${cli.settings.root}`),
      ...engineOptions,
    },
    cli.signal,
  );
  try {
    if (recover) await engine.recover({}, cli.signal);
    return await body(engine);
  } finally {
    await engine.close();
  }
}
