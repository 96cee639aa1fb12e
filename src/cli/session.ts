import type { Engine } from '../index.ts';
import type { CommandLine } from './command-line.ts';
import { createLog } from './log.ts';

/**
 * Opens the engine on the directory, waiting for another command that holds it, puts the directory in order as after a crash, runs
 * `body`, and closes the engine whatever happens. Every container that is there is known: only `rootwright recover --known` says otherwise.
 */
export async function withEngine<T>(
  cli: CommandLine,
  body: (engine: Engine) => Promise<T>,
  options: { readonly recover?: boolean } = {},
): Promise<T> {
  const { createEngine } = await import('../index.ts');
  const engine = await createEngine(
    {
      root: cli.settings.root,
      logger: await createLog(cli),
      lockWaitMs: cli.settings.waitMs,
      recover: options.recover ?? true,
      onLockWait: () => cli.output.note(`waiting for another command that holds ${cli.settings.root}`),
    },
    cli.signal,
  );
  try {
    return await body(engine);
  } finally {
    await engine.close();
  }
}
