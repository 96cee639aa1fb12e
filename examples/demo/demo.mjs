// The main job, start to end, in a temporary directory: `npm run demo`. Works as root and as an ordinary user.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createEngine } from 'rootwright';
import { drawTree, namesInLayers, pathsBelow, whiteoutsOf } from './listing.mjs';

// `npm run demo | head` closes our output early; what was made must be taken down all the same.
process.stdout.on('error', () => undefined);

const layout = join(dirname(fileURLToPath(import.meta.url)), 'image');
const root = mkdtempSync(join(tmpdir(), 'rootwright-demo-'));

try {
  await demonstrate();
} finally {
  rmSync(root, { recursive: true, force: true });
}

async function demonstrate() {
  const engine = await createEngine({ root });
  try {
    const layers = namesInLayers(layout);
    say('image', `examples/demo/image: ${layers.length} layers, ${layers.flat().length} entries`);
    say('backend', `${engine.backend}: ${whyThisBackend(engine)}`);

    const pull = await timed(() => engine.pull(`oci:${layout}`));
    say('pulled', `${pull.result.layers.length} layers verified and unpacked in ${pull.milliseconds} ms`);
    const { result, milliseconds } = await timed(() => engine.provision('demo', `oci:${layout}`));
    say('provisioned', `in ${milliseconds} ms`);
    for (const line of ['/', ...drawTree(result.rootfs)]) console.log(`             ${line}`);
    showWhatIsHidden(layers, result.rootfs);
    say(
      'content',
      `etc/app.conf has ${JSON.stringify(readFileSync(join(result.rootfs, 'etc/app.conf'), 'utf8').trim())}, from the last layer that has it`,
    );

    const { milliseconds: taken } = await timed(() => engine.destroy('demo'));
    say('destroyed', `in ${taken} ms`);
    showThatNothingIsLeft();
  } finally {
    await engine.destroy('demo'); // false after a good run; after a bad one nothing must stay mounted below what is deleted next
    await engine.close();
  }
}

function whyThisBackend({ assessments, backend }) {
  const reasons = assessments.filter((row) => row.backend === 'overlay' && row.ok === (backend === 'overlay')).map(({ why }) => why);
  return backend === 'overlay' ? reasons.slice(1).join(', ') : `overlay can't be used here (${reasons.join('; ')})`;
}

function showWhatIsHidden(layers, rootfs) {
  const present = new Set(pathsBelow(rootfs));
  layers.forEach((names, index) => {
    const below = layers.slice(0, index).flat();
    for (const { marker, kind, hides } of whiteoutsOf(names)) {
      const hidden = below.filter(hides);
      const still = hidden.filter((path) => present.has(path));
      if (still.length > 0) throw new Error(`${marker} should hide ${still.join(', ')}`);
      say('removed', `${hidden.join(', ')}  (${kind} ${marker} of layer ${index + 1})`);
    }
  });
}

function showThatNothingIsLeft() {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(root));
  const containers = join(root, 'provisioner/containers');
  const directories = existsSync(containers) ? readdirSync(containers) : [];
  if (mounts.length + directories.length > 0) throw new Error(`left behind: ${[...mounts, ...directories].join(', ')}`);
  say('left', 'no mount, no container directory');
}

async function timed(body) {
  const start = performance.now();
  const result = await body();
  return { result, milliseconds: (performance.now() - start).toFixed(1) };
}

function say(topic, text) {
  console.log(`${topic.padEnd(11)}  ${text}`);
}
