import { UtilLinuxKernel } from '../../src/linux/util-linux-kernel.ts';
import { kernelConformance } from '../conformance/kernel.ts';
import { describeWith } from '../support/requirements.ts';
import { koffiKernel, realKernel, simulatedKernel } from './kernels.ts';

describeWith([], 'real kernels', () => {
  kernelConformance('koffi', async () => realKernel(koffiKernel()));
  kernelConformance('koffi without the new mount interface', async () => realKernel(koffiKernel({ mountApi: 'mount(2)' })));
});

describeWith(['mount', 'umount', 'sync'], 'programs', () => {
  kernelConformance('util-linux', async () => realKernel(new UtilLinuxKernel()));
});

kernelConformance('simulated', async () => simulatedKernel());
kernelConformance('simulated, without lowerdir+', async () => simulatedKernel({ overlayLowerdirAppend: false }));
kernelConformance('simulated, without privileges', async () => simulatedKernel({ privileged: false }));
