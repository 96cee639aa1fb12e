import { once } from 'node:events';
import { createEngine, type BackendName } from '../../src/index.ts';

/**
 * The program that the tests kill: the embedded engine at one operation. It prints `ready` when the engine has recovered, does the
 * operation at once, prints `done`, and closes. With `hold` it keeps the directory until its standard input ends.
 *
 *   victim.js '{"root": "…", "known": ["…"], "operation": "provision", "containers": ["…"], "image": "…", "backend": "overlay"}'
 */
export interface Job {
  readonly root: string;
  readonly known: readonly string[];
  readonly operation: 'pull' | 'provision' | 'destroy' | 'prune' | 'hold';
  /** Provisioned or destroyed all at once. */
  readonly containers?: readonly string[];
  readonly image?: string;
  readonly backend?: BackendName;
}

const job = JSON.parse(process.argv[2] ?? '{}') as Job;
const engine = await createEngine({ root: job.root, ...(job.backend !== undefined && { backend: job.backend }) });
await engine.recover({ known: job.known });
process.stdout.write('ready\n');
await perform(job);
process.stdout.write('done\n');
await engine.close();

function perform({ operation, containers = [], image = '' }: Job): Promise<unknown> {
  switch (operation) {
    case 'pull':
      return engine.pull(image);
    case 'provision':
      return Promise.all(containers.map((container) => engine.provision(container, image)));
    case 'destroy':
      return Promise.all(containers.map((container) => engine.destroy(container)));
    case 'prune':
      return engine.prune();
    case 'hold':
      return once(process.stdin.resume(), 'end');
  }
}
