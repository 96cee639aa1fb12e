import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createEngine, isRootwrightError, MemoryMetrics, readContainers, type Engine, type EngineOptions } from '../../src/index.ts';
import { SimulatedKernel } from '../../src/linux/simulated/kernel.ts';
import { writeOciLayout } from '../support/image-builder.ts';
import { itRoot } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const layer = (...entries: ReadonlyArray<readonly [path: string, content: string]>) => ({
  entries: entries.map(([path, content]) => ({ path, content })),
});

/** `oci:…` of a two-layer image: `etc/name` from the upper layer, `bin` from the lower. */
function makeImage(directory: string, tag = 'latest'): string {
  const layout = join(directory, 'layout');
  mkdirSync(layout, { recursive: true });
  writeOciLayout(layout, [{ layers: [layer(['etc/name', 'base'], ['bin/tool', 'x']), layer(['etc/name', tag])], tag }]);
  return `oci:${layout}:${tag}`;
}

async function withEngine<T>(options: EngineOptions, body: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await createEngine(options);
  try {
    return await body(engine);
  } finally {
    await engine.close();
  }
}

describe('createEngine', () => {
  it.each([
    ['an unknown option', { root: '/x', colour: 'red' }, /colour/],
    ['a relative root', { root: 'relative' }, /root: must be an absolute path/],
    ['an unknown backend', { root: '/x', backend: 'zfs' }, /backend/],
    ['a kernel that is none', { root: '/x', kernel: {} }, /kernel/],
    ['no thread', { root: '/x', unpackThreads: 0 }, /unpackThreads/],
    ['nothing', undefined, /createEngine/],
  ])('refuses %s with INVALID_OPTION', async (_, options, message) => {
    await expect(createEngine(options as EngineOptions)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(message) as string,
    });
  });

  it('refuses a second engine on the same directory, and lets it in after the first has closed', async () => {
    const root = temporaryDirectory();
    const first = await createEngine({ root, backend: 'copy' });
    await expect(createEngine({ root, backend: 'copy' })).rejects.toMatchObject({ code: 'ROOT_LOCKED' });
    let waited = 0;
    const second = createEngine({ root, backend: 'copy', lockWaitMs: 30_000, onLockWait: () => (waited += 1) });
    const abort = new AbortController();
    const third = createEngine({ root, backend: 'copy', lockWaitMs: 30_000, onLockWait: () => abort.abort() }, abort.signal);
    await expect(third).rejects.toMatchObject({ code: 'ABORTED' });
    await first.close();
    await (await second).close();
    expect(waited).toBe(1);
  });

  it('refuses a backend that cannot work here, says why, and lets go of the directory', async () => {
    const root = temporaryDirectory();
    const kernel = new SimulatedKernel({ filesystems: ['ext4'] });
    const error: unknown = await createEngine({ root, backend: 'overlay', kernel }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'BACKEND_UNAVAILABLE', details: { reasons: expect.any(Array) as unknown[] } });
    await withEngine({ root, backend: 'copy' }, async (engine) => expect(engine.backend).toBe('copy'));
  });

  it('works in a root that is a symlink', async () => {
    const directory = temporaryDirectory();
    mkdirSync(join(directory, 'real'));
    symlinkSync('real', join(directory, 'link'));
    await withEngine({ root: join(directory, 'link'), backend: 'copy' }, async (engine) => {
      expect(engine.root).toBe(join(directory, 'real'));
      const { rootfs } = await engine.provision('c1', makeImage(directory));
      expect(rootfs.startsWith(`${engine.root}/`)).toBe(true);
      expect(await engine.destroy('c1')).toBe(true);
    });
  });
});

describe('the engine', () => {
  it('provisions a copy of a real image, tells of it, and takes it apart', async () => {
    const directory = temporaryDirectory();
    const image = makeImage(directory);
    const events: string[] = [];
    await withEngine({ root: join(directory, 'root'), backend: 'copy' }, async (engine) => {
      const made = await engine.provision('web.debug', image, { onProgress: ({ state }) => events.push(state) });
      expect(readFileSync(join(made.rootfs, 'etc/name'), 'utf8')).toBe('latest');
      expect(made).toMatchObject({ container: 'web.debug', backend: 'copy', ephemeralVolumes: [], image: { name: image } });
      expect(made.layers).toHaveLength(2);
      expect(events.filter((state) => state === 'done')).toHaveLength(2);
      expect(await engine.list()).toEqual([
        { id: 'web', state: 'provisioned', rootfses: 0 },
        { id: 'web.debug', state: 'provisioned', rootfses: 1 },
      ]);
      expect(await engine.inspect('web.debug')).toMatchObject({
        id: 'web.debug',
        nested: [],
        rootfses: [{ id: made.rootfsId, ready: true, rootfs: made.rootfs, image, layersKnown: true, layers: made.layers }],
      });
      expect((await engine.inspect('web')).nested).toEqual(['web.debug']);
      await expect(engine.inspect('nobody')).rejects.toMatchObject({ code: 'CONTAINER_NOT_FOUND' });
      expect((await engine.images()).map(({ name }) => name)).toEqual([image]);
      expect(engine.processes().map(({ id }) => id)).toEqual(['provisioner(1)']);
      expect(await engine.destroy('web')).toBe(true);
      expect(await engine.prune({ dryRun: true })).toMatchObject({ images: [image] });
      expect((await engine.prune()).layers).toHaveLength(2);
      expect(await engine.images()).toEqual([]);
      expect((engine.metrics as MemoryMetrics).snapshot()).toMatchObject({
        'provisions_total{backend="copy",outcome="ok"}': 1,
        'destroys_total{backend="copy",outcome="ok"}': 1,
        'layers_total{outcome="unpacked"}': 2,
      });
    });
  });

  itRoot('provisions by overlay, finds it again after it was closed, and gives its ephemeral volumes', async () => {
    const directory = temporaryDirectory();
    const root = join(directory, 'root');
    const image = makeImage(directory);
    const made = await withEngine({ root, backend: 'overlay' }, (engine) => engine.provision('c1', image));
    expect(readFileSync(join(made.rootfs, 'etc/name'), 'utf8')).toBe('latest');
    await withEngine({ root }, async (engine) => {
      const { rootfses } = await engine.inspect('c1');
      expect(rootfses).toMatchObject([{ mounted: true, ready: true, ephemeralVolumes: made.ephemeralVolumes }]);
      expect(new Set(await engine.ephemeralVolumes())).toEqual(new Set(made.ephemeralVolumes));
      await engine.prune();
      expect(readFileSync(join(made.rootfs, 'bin/tool'), 'utf8')).toBe('x');
      expect(await engine.destroy('c1')).toBe(true);
      expect(existsSync(made.rootfs)).toBe(false);
    });
  });

  it('recovers by itself unless told not to', async () => {
    const root = temporaryDirectory();
    await withEngine({ root, backend: 'copy', recover: false }, async (engine) => {
      await expect(engine.list()).rejects.toMatchObject({ code: 'NOT_RECOVERED' });
      expect(await engine.recover({ known: [] })).toMatchObject({ plan: false, kept: [], failed: [] });
      expect(await engine.list()).toEqual([]);
      await expect(engine.recover({ known: ['no such id'] })).rejects.toMatchObject({ code: 'INVALID_CONTAINER_ID' });
    });
  });

  it('closed refuses everything with ENGINE_CLOSED, and closes twice', async () => {
    const directory = temporaryDirectory();
    const engine = await createEngine({ root: join(directory, 'root'), backend: 'copy' });
    const provision = engine.provision('c1', makeImage(directory)).catch((error: unknown) => error);
    await engine.close();
    const outcome = await provision;
    if (isRootwrightError(outcome)) expect(outcome.code).toBe('ENGINE_CLOSED');
    await engine.close();
    for (const call of [engine.list(), engine.destroy('c1'), engine.recover(), engine.images(), engine.ephemeralVolumes()])
      await expect(call).rejects.toMatchObject({ code: 'ENGINE_CLOSED' });
    if (isRootwrightError(outcome)) expect(readContainers(engine.root)).toEqual([]);
  });

  it('logs by process, to the logger that it is given', async () => {
    const directory = temporaryDirectory();
    const lines: string[] = [];
    const logger = (bindings: object): NonNullable<EngineOptions['logger']> => {
      const write = (facts: object, message: string): void => void lines.push(JSON.stringify({ ...bindings, ...facts, message }));
      return { debug: write, info: write, warn: write, error: write, child: (more) => logger({ ...bindings, ...more }) };
    };
    await withEngine({ root: join(directory, 'root'), backend: 'copy', logger: logger({}) }, async (engine) => {
      await engine.provision('c1', makeImage(directory));
      await engine.destroy('c1');
    });
    const messages = lines.map((line) => JSON.parse(line) as { process: string; container?: string; message: string });
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ process: 'provisioner', container: 'c1', message: 'provisioned' }),
        expect.objectContaining({ process: 'provisioner', container: 'c1', message: 'destroyed' }),
      ]),
    );
  });

  itRoot('[AP4] finds a copy again; the same image once more is a second rootfs, and destroy takes both', async () => {
    const directory = temporaryDirectory();
    const root = join(directory, 'root');
    const image = makeImage(directory);
    const first = await withEngine({ root, backend: 'copy' }, (engine) => engine.provision('c1', image));
    await withEngine({ root, backend: 'overlay' }, async (engine) => {
      const second = await engine.provision('c1', image);
      expect(existsSync(first.rootfs) && existsSync(second.rootfs)).toBe(true);
      expect(readdirSync(join(first.rootfs, '../../..')).toSorted()).toEqual(['copy', 'overlay']);
      expect(await engine.destroy('c1')).toBe(true);
      expect(readdirSync(join(root, 'provisioner/containers'))).toEqual([]);
    });
  });
});
