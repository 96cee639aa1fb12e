import { openEngine, bulk, containerName, containerNames, inParallel } from './embedded.ts';
import { residentMB } from './peers/containerd.ts';

/**
 * The embedded engine as a program, for bench.py (bench/rootwright.json) and for bench/main.ts:
 *
 *   bulk ROOT IMAGE N C    provision N containers, C at a time, then destroy them; prints what bench.py reads
 *   fill ROOT IMAGE N      provision N containers and leave them
 *   recover ROOT N         recover with the N containers of `fill` known; prints its seconds, in all and of recover alone
 *   drain ROOT N           destroy what fill left
 */
const [verb = '', root = '', ...rest] = process.argv.slice(2);

switch (verb) {
  case 'bulk': {
    const [image = '', count, atOnce] = rest;
    const engine = await openEngine(root);
    print(await bulk(engine, image, Number(count), Number(atOnce)));
    await engine.close();
    break;
  }
  case 'fill': {
    const [image = '', count] = rest;
    const engine = await openEngine(root);
    await inParallel(Number(count), 16, (index) => engine.provision(containerName(index), image));
    print({ residentMB: residentMB(process.pid) });
    await engine.close();
    break;
  }
  case 'recover': {
    const known = containerNames(Number(rest[0]));
    const start = performance.now();
    const engine = await openEngine(root, 'overlay', known);
    print({ seconds: (performance.now() - start) / 1000, residentMB: residentMB(process.pid), containers: (await engine.list()).length });
    await engine.close();
    break;
  }
  case 'drain': {
    const count = Number(rest[0]);
    const engine = await openEngine(root);
    await inParallel(count, 16, (index) => engine.destroy(containerName(index)));
    await engine.close();
    break;
  }
  default:
    process.stderr.write('usage: bulk ROOT IMAGE N C | fill ROOT IMAGE N | recover ROOT N | drain ROOT N\n');
    process.exitCode = 2;
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
