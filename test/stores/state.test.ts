import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openState, type State } from '../../src/stores/state.ts';
import type { ImageRow, LayerRow } from '../../src/stores/state-index.ts';
import { STATE_VERSION } from '../../src/stores/state-schema.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const IMAGE: ImageRow = { name: 'oci:/i', platform: 'linux/amd64', manifestDigest: 'sha256:m', configDigest: 'sha256:c', createdAt: 1, usedAt: 2 };
const LAYER: LayerRow = { diffId: 'sha256:d', form: 'overlay', bytes: 10, entries: 3, createdAt: 4 };

async function open(path: string, ...rest: [options?: Parameters<typeof openState>[1], signal?: AbortSignal]): Promise<State> {
  const state = await openState(path, ...rest);
  onTestFinished(() => state.close());
  return state;
}

describe('the index', () => {
  it('is made where there is none, with its directory, and says so', async () => {
    const path = join(temporaryDirectory(), 'a', 'b', 'state.db');
    const state = await open(path);
    expect(state.rebuilt).toBe(true);
    expect(state.index.images()).toEqual([]);
    expect(state.index.layers()).toEqual([]);
  });

  it('keeps images and layers over a close', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const first = await open(path);
    first.index.putImage(IMAGE);
    first.index.putLayers([LAYER, { ...LAYER, form: 'plain' }]);
    first.close();
    const second = await open(path);
    expect(second.rebuilt).toBe(false);
    expect(second.index.images()).toEqual([IMAGE]);
    expect(second.index.layers()).toEqual([LAYER, { ...LAYER, form: 'plain' }]);
    second.index.removeLayer(LAYER.diffId);
    second.index.removeImage(IMAGE.name, IMAGE.platform);
    expect([second.index.layers(), second.index.images()]).toEqual([[], []]);
  });

  it('notes uses of known images only, and never an earlier one than it has', async () => {
    const { index } = await open(join(temporaryDirectory(), 'state.db'));
    index.putImage(IMAGE);
    index.touchImages([
      { ...IMAGE, usedAt: 9 },
      { ...IMAGE, name: 'oci:/other', usedAt: 9 },
    ]);
    index.touchImages([{ ...IMAGE, usedAt: 5 }]);
    expect(index.images()).toEqual([{ ...IMAGE, usedAt: 9 }]);
  });

  it('is replaced as a whole, keeping the last use of images that stay', async () => {
    const { index } = await open(join(temporaryDirectory(), 'state.db'));
    index.putImage({ ...IMAGE, usedAt: 77 });
    index.putImage({ ...IMAGE, name: 'oci:/gone' });
    index.putLayers([LAYER]);
    const fresh = { ...IMAGE, name: 'oci:/new' };
    index.replaceAll([IMAGE, fresh], [{ ...LAYER, diffId: 'sha256:e' }]);
    expect(index.images()).toEqual([{ ...IMAGE, usedAt: 77 }, fresh]);
    expect(index.layers()).toEqual([{ ...LAYER, diffId: 'sha256:e' }]);
  });

  it('leaves an index alone whose replacement fails half-way', async () => {
    const { index } = await open(join(temporaryDirectory(), 'state.db'));
    index.putImage(IMAGE);
    expect(() => index.replaceAll([], [{ ...LAYER, bytes: null as unknown as number }])).toThrow(expect.objectContaining({ code: 'IO_ERROR' }));
    expect(index.images()).toEqual([IMAGE]);
  });
});

describe('the lock of a root', () => {
  it('refuses a second holder and names the directory and the holder', async () => {
    const directory = temporaryDirectory();
    const first = await open(join(directory, 'state.db'));
    await expect(openState(join(directory, 'state.db'))).rejects.toMatchObject({ code: 'ROOT_LOCKED', details: { directory, pid: process.pid } });
    first.close();
    first.close();
    await open(join(directory, 'state.db'));
  });

  it('waits for the holder, tells once that it does, and gets the lock', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const first = await open(path);
    let told = 0;
    const second = open(path, { waitMs: 60_000, onWait: () => setTimeout(() => first.close(), 50 * ++told) });
    expect((await second).rebuilt).toBe(false);
    expect(told).toBe(1);
  });

  it('gives up after its time', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    await open(path);
    await expect(openState(path, { waitMs: 20 })).rejects.toMatchObject({ code: 'ROOT_LOCKED' });
  });

  it('stops waiting when it is aborted', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    await open(path);
    const controller = new AbortController();
    const waiting = openState(path, { waitMs: 60_000, onWait: () => controller.abort(new Error('enough')) }, controller.signal);
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED', cause: expect.objectContaining({ message: 'enough' }) });
    await expect(openState(path, {}, AbortSignal.abort())).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('is free at once when its holder is killed with SIGKILL, and what the holder had committed is there', async () => {
    const directory = temporaryDirectory();
    const holder = await startHolder(join(directory, 'state.db'));
    await expect(openState(join(directory, 'state.db'))).rejects.toMatchObject({ code: 'ROOT_LOCKED', details: { pid: holder.pid } });
    await killed(holder);
    const state = await open(join(directory, 'state.db'));
    expect(state.rebuilt).toBe(false);
    expect(state.index.images()).toEqual([IMAGE]);
  });

  it('passes from one process to another that waits for it', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    const holder = await startHolder(path);
    const state = open(path, { waitMs: 60_000, onWait: () => holder.stdin?.end() });
    expect((await state).index.images()).toEqual([IMAGE]);
  });

  it('does not name a process that is gone as the holder', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    await open(path);
    writeFileSync(`${path}.pid`, '4194305\n');
    await expect(openState(path)).rejects.toMatchObject({ code: 'ROOT_LOCKED', details: { pid: undefined } });
  });
});

describe('a damaged index', () => {
  it.each([
    ['is no database', (path: string) => writeFileSync(path, 'hello, I am no database at all. '.repeat(200))],
    ['has damaged pages', (path: string) => damagePages(path)],
    ['lacks a table', (path: string) => withDatabase(path, (database) => database.exec('DROP TABLE layers'))],
    ['is of a newer version', (path: string) => withDatabase(path, (database) => database.pragma(`user_version = ${STATE_VERSION + 1}`))],
  ])('that %s is set aside, and a fresh one made', async (_what, damage) => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    const before = await open(path);
    for (let at = 0; at < 500; at += 1) before.index.putImage({ ...IMAGE, name: `oci:/${at}`.padEnd(200, 'x') });
    before.close();
    damage(path);
    const content = readFileSync(path);
    const state = await open(path);
    expect(state.rebuilt).toBe(true);
    expect(state.index.images()).toEqual([]);
    const aside = readdirSync(directory).find((name) => /^state\.db\.damaged-\d+$/.test(name));
    expect(readFileSync(join(directory, aside ?? 'none')).length).toBe(content.length);
  });

  it('is set aside by one of two processes, and held by one only', async () => {
    const directory = temporaryDirectory();
    const path = join(directory, 'state.db');
    writeFileSync(path, 'no database '.repeat(1000));
    const outcomes = await Promise.allSettled([openState(path), openState(path), openState(path)]);
    const held = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(held).toHaveLength(1);
    held[0]?.value.close();
    expect(readdirSync(directory).filter((name) => name.includes('damaged'))).toHaveLength(1);
  });

  it('is made anew where the file is empty', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    writeFileSync(path, '');
    expect((await open(path)).rebuilt).toBe(true);
  });

  it('is no reason to hide what else is wrong', async () => {
    const path = join(temporaryDirectory(), 'state.db');
    mkdirSync(path);
    await expect(openState(path)).rejects.toMatchObject({ code: 'IO_ERROR', details: { path } });
    expect(existsSync(path)).toBe(true);
  });
});

function withDatabase(path: string, body: (database: Database.Database) => unknown): void {
  const database = new Database(path);
  body(database);
  database.close();
}

function damagePages(path: string): void {
  const bytes = readFileSync(path);
  bytes.fill(0xa5, 4096 * 3, 4096 * 8);
  writeFileSync(path, bytes);
}

/** A process that holds the index until its standard input ends or it is killed. */
async function startHolder(path: string): Promise<ChildProcess> {
  const state = new URL('../../src/stores/state.js', import.meta.url).href;
  const program = `
    const { openState } = await import(${JSON.stringify(state)});
    const state = await openState(${JSON.stringify(path)});
    state.index.putImage(${JSON.stringify(IMAGE)});
    process.stdout.write('held');
    process.stdin.on('end', () => state.close()).resume();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  onTestFinished(() => killed(child));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`the holder ended with ${code}`)));
  });
  return child;
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
