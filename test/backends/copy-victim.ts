import { CopyBackend } from '../../src/backends/copy.ts';
import { isRootwrightError } from '../../src/errors.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';

// A process of its own that provisions by copy: for tests that kill it, or run it as another user. Says how it ended.
const [rootfs = '', backendDir = '', ...layers] = process.argv.slice(2);
try {
  await new CopyBackend({ kernel: new SimulatedKernel() }).provision({ rootfs, backendDir, layers });
  process.stdout.write('done\n');
} catch (error) {
  if (!isRootwrightError(error)) throw error;
  process.stdout.write(`${error.code} ${error.message}\n`);
}
