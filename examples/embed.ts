/**
 * How an agent embeds rootwright: open the engine, say what is known, provision, look, cancel, destroy, close.
 *
 *   node embed.js ROOT IMAGE        for example: node embed.js /var/lib/agent oci:/images/alpine:latest
 */
import { createEngine, isRootwrightError, type Engine } from '../src/index.ts'; // 'rootwright' in a program of your own

const [root = '/var/lib/agent/rootwright', image = 'oci:/images/alpine:latest'] = process.argv.slice(2);

const engine = await createEngine({ root, recover: false });
try {
  // After a crash: what the agent does not know any more goes, what was half done goes, everything else stays.
  const report = await engine.recover({ known: [] });
  console.log(`recovered: ${report.kept.length} kept, ${report.destroyed.length} destroyed, ${report.failed.length} failed`);

  const { rootfs, ephemeralVolumes, layers } = await engine.provision('web', image);
  console.log(`web: ${layers.length} layers by ${engine.backend} at ${rootfs}`);
  console.log(`count for its quota: ${ephemeralVolumes.join(', ') || 'the rootfs itself'}`);

  // A nested container shares the layers, and goes with its parent.
  await engine.provision('web.debug', image);
  console.log(`containers: ${(await engine.list()).map(({ id }) => id).join(' ')}`);

  await cancelled(engine);

  console.log(`destroyed: ${await engine.destroy('web')}, and again: ${await engine.destroy('web')}`);
  const { images, layers: pruned } = await engine.prune();
  console.log(`pruned: ${images.length} image, ${pruned.length} layers`);
} finally {
  await engine.close();
}

/** An abort ends a provision; when it has settled, nothing of it is left. */
async function cancelled(embedded: Engine): Promise<void> {
  const signal = AbortSignal.abort(new Error('the task was withdrawn'));
  try {
    await embedded.provision('late', image, {}, signal);
  } catch (error) {
    if (!isRootwrightError(error) || error.code !== 'ABORTED') throw error;
    console.log(`late: ${error.code}`);
  }
}
