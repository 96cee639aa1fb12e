import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseContainerId } from '../../src/paths/container-id.ts';
import { listContainers, scanContainers } from '../../src/paths/list-containers.ts';
import { listRootfses } from '../../src/paths/list-rootfses.ts';
import {
  backendDir,
  checkpointPath,
  containerDir,
  containersDir,
  readyPath,
  rootfsesDir,
  rootfsPath,
  scratchDir,
  temporaryPath,
} from '../../src/paths/provisioner.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const makeContainer = (root: string, id: string): string => {
  const directory = containerDir(root, parseContainerId(id));
  mkdirSync(directory, { recursive: true });
  return directory;
};

describe('listContainers', () => {
  it('[PA1] finds nested containers and the parents that they imply, parents first', () => {
    const root = temporaryDirectory();
    for (const id of ['parent1.child1', 'parent1.child2', 'parent2.child3']) makeContainer(root, id);
    const found = listContainers(root);
    expect(found.toSorted()).toEqual(['parent1', 'parent1.child1', 'parent1.child2', 'parent2', 'parent2.child3']);
    expect(found.indexOf(parseContainerId('parent2'))).toBeLessThan(found.indexOf(parseContainerId('parent2.child3')));
  });

  it('is empty where nothing was ever provisioned', () => {
    expect(scanContainers(join(temporaryDirectory(), 'absent'))).toEqual({ containers: [], strays: [] });
  });

  it('reports files, symlinks and directories that are no id as strays', () => {
    const root = temporaryDirectory();
    const elsewhere = join(root, 'elsewhere');
    mkdirSync(join(elsewhere, 'containers', 'inner'), { recursive: true });
    makeContainer(root, 'a');
    const directory = containersDir(root);
    writeFileSync(join(directory, 'file'), '');
    symlinkSync(elsewhere, join(directory, 'link'));
    mkdirSync(join(directory, 'with space'));
    mkdirSync(join(directory, 'dotted.name'));
    symlinkSync(elsewhere, join(directory, 'a', 'containers'));
    const { containers, strays } = scanContainers(root);
    expect(containers.map(({ id }) => id)).toEqual(['a']);
    expect(strays.toSorted()).toEqual(['a/containers', 'dotted.name', 'file', 'link', 'with space'].map((name) => join(directory, name)));
  });

  it('tells what each container directory holds', () => {
    const root = temporaryDirectory();
    const directory = makeContainer(root, 'a');
    makeContainer(root, 'a.b');
    const temporary = temporaryPath(checkpointPath(directory), 'u1');
    for (const path of [checkpointPath(directory), readyPath(directory, 'r1'), temporary]) writeFileSync(path, '');
    mkdirSync(backendDir(directory, 'copy'), { recursive: true });
    const { containers, strays } = scanContainers(root);
    expect(strays).toEqual([]);
    expect(containers[0]).toEqual({ id: 'a', directory, checkpoint: true, ready: ['r1'], backends: true, temporaries: [temporary] });
    expect(containers[1]).toMatchObject({ id: 'a.b', checkpoint: false, ready: [], backends: false });
  });
});

describe('listRootfses', () => {
  it('gives the ids of each backend', () => {
    const directory = makeContainer(temporaryDirectory(), 'a');
    for (const [backend, id] of [
      ['copy', 'r1'],
      ['copy', 'r2'],
      ['overlay', 'r3'],
      ['strange', 'r4'],
    ] as const)
      mkdirSync(rootfsPath(backendDir(directory, backend), id), { recursive: true });
    const { rootfses, strays } = listRootfses(directory);
    expect(Object.fromEntries([...rootfses].map(([backend, ids]) => [backend, ids.toSorted()]))).toEqual({
      copy: ['r1', 'r2'],
      overlay: ['r3'],
      strange: ['r4'],
    });
    expect(strays).toEqual([]);
  });

  it('[R11] takes missing pieces as none, and reports what is no directory', () => {
    const directory = makeContainer(temporaryDirectory(), 'a');
    expect(listRootfses(directory).rootfses.size).toBe(0);
    mkdirSync(scratchDir(backendDir(directory, 'overlay'), 'r1'), { recursive: true });
    mkdirSync(rootfsesDir(backendDir(directory, 'copy')), { recursive: true });
    const file = rootfsPath(backendDir(directory, 'copy'), 'file');
    const link = rootfsPath(backendDir(directory, 'copy'), 'link');
    writeFileSync(file, '');
    symlinkSync(dirname(directory), link);
    const backendFile = backendDir(directory, 'aufs');
    writeFileSync(backendFile, '');
    const { rootfses, strays } = listRootfses(directory);
    expect(rootfses.size).toBe(0);
    expect(strays.toSorted()).toEqual([backendFile, file, link].toSorted());
  });
});
