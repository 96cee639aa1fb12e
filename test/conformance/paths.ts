import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ContainerId } from '../../src/paths/container-id.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

/** The functions that together are the layout of the provisioner directory (paths/provisioner.ts, list-containers.ts, list-rootfses.ts). */
export interface ProvisionerLayout {
  readonly parseContainerId: (text: string) => ContainerId;
  readonly provisionerDir: (root: string) => string;
  readonly containersDir: (root: string) => string;
  readonly containerDir: (root: string, id: ContainerId) => string;
  readonly nestedDir: (containerDirectory: string) => string;
  readonly checkpointPath: (containerDirectory: string) => string;
  readonly readyPath: (containerDirectory: string, rootfsId: string) => string;
  readonly backendsDir: (containerDirectory: string) => string;
  readonly backendDir: (containerDirectory: string, backend: string) => string;
  readonly rootfsesDir: (backendDirectory: string) => string;
  readonly rootfsPath: (backendDirectory: string, rootfsId: string) => string;
  readonly scratchesDir: (backendDirectory: string) => string;
  readonly scratchDir: (backendDirectory: string, rootfsId: string) => string;
  readonly rootfsIdOf: (rootfs: string) => string;
  readonly temporaryPath: (path: string, unique: string) => string;
  readonly isTemporary: (name: string) => boolean;
  readonly listContainers: (root: string) => readonly ContainerId[];
  readonly scanContainers: (root: string) => { readonly containers: readonly unknown[]; readonly strays: readonly string[] };
  readonly listRootfses: (containerDirectory: string) => {
    readonly rootfses: ReadonlyMap<string, readonly string[]>;
    readonly strays: readonly string[];
  };
}

/** What a layout of the provisioner directory must keep to: Mesos's (mesos.md 1.1), as far as operators and recovery rely on it. */
export function pathsConformance(layout: ProvisionerLayout): void {
  const make = (root: string, text: string): string => {
    const directory = layout.containerDir(root, layout.parseContainerId(text));
    mkdirSync(directory, { recursive: true });
    return directory;
  };

  describe('the layout', () => {
    it('is that of Mesos', () => {
      const directory = layout.containerDir('/r', layout.parseContainerId('web.debug'));
      expect(directory).toBe('/r/provisioner/containers/web/containers/debug');
      const backend = layout.backendDir(directory, 'overlay');
      expect(layout.rootfsPath(backend, 'id')).toBe(`${directory}/backends/overlay/rootfses/id`);
      expect(layout.scratchDir(backend, 'id')).toBe(`${directory}/backends/overlay/scratch/id`);
      expect(layout.checkpointPath(directory)).toBe(`${directory}/layers`);
    });

    it('names the parts of a container consistently', () => {
      const directory = layout.containerDir('/r', layout.parseContainerId('a'));
      expect(dirname(directory)).toBe(layout.containersDir('/r'));
      expect(relative(layout.provisionerDir('/r'), directory).startsWith('..')).toBe(false);
      expect(dirname(layout.containerDir('/r', layout.parseContainerId('a.b')))).toBe(layout.nestedDir(directory));
      const backend = layout.backendDir(directory, 'copy');
      expect(dirname(backend)).toBe(layout.backendsDir(directory));
      expect(dirname(layout.rootfsPath(backend, 'x'))).toBe(layout.rootfsesDir(backend));
      expect(dirname(layout.scratchDir(backend, 'x'))).toBe(layout.scratchesDir(backend));
      expect(layout.rootfsIdOf(layout.rootfsPath(backend, 'x'))).toBe('x');
    });

    it('keeps what an interrupted write leaves beside its file, and knows it again', () => {
      const path = layout.checkpointPath('/c');
      const temporary = layout.temporaryPath(path, 'unique');
      expect(dirname(temporary)).toBe(dirname(path));
      expect(layout.isTemporary(basename(temporary))).toBe(true);
      expect([basename(path), basename(layout.readyPath('/c', 'x'))].map((name) => layout.isTemporary(name))).toEqual([false, false]);
    });
  });

  describe('listing containers', () => {
    it('[PA1] finds nested containers and the parents that they imply, parents first', () => {
      const root = temporaryDirectory();
      for (const id of ['parent1.child1', 'parent1.child2', 'parent2.child3']) make(root, id);
      const found = layout.listContainers(root);
      expect(found).toEqual(['parent1', 'parent1.child1', 'parent1.child2', 'parent2', 'parent2.child3']);
    });

    it('is empty where nothing was ever provisioned', () => {
      expect(layout.listContainers(join(temporaryDirectory(), 'absent'))).toEqual([]);
    });

    it('passes over files, symlinks and names that are no id, and reports them', () => {
      const root = temporaryDirectory();
      make(root, 'a');
      const directory = layout.containersDir(root);
      writeFileSync(join(directory, 'file'), '');
      symlinkSync(join(directory, 'a'), join(directory, 'link'));
      mkdirSync(join(directory, 'a.b'));
      expect(layout.listContainers(root)).toEqual(['a']);
      expect(layout.scanContainers(root).strays).toEqual(['a.b', 'file', 'link'].map((name) => join(directory, name)));
    });
  });

  describe('listing rootfses', () => {
    it('gives the ids of each backend, of unknown ones too', () => {
      const directory = make(temporaryDirectory(), 'a');
      for (const backend of ['overlay', 'strange'])
        mkdirSync(layout.rootfsPath(layout.backendDir(directory, backend), `${backend}-1`), { recursive: true });
      expect(Object.fromEntries(layout.listRootfses(directory).rootfses)).toEqual({ overlay: ['overlay-1'], strange: ['strange-1'] });
    });

    it('[R11] takes missing pieces as none, and reports what is no directory', () => {
      const directory = make(temporaryDirectory(), 'a');
      expect(layout.listRootfses(directory)).toEqual({ rootfses: new Map(), strays: [] });
      mkdirSync(layout.backendDir(directory, 'overlay'), { recursive: true });
      mkdirSync(layout.rootfsesDir(layout.backendDir(directory, 'copy')), { recursive: true });
      const stray = layout.rootfsPath(layout.backendDir(directory, 'copy'), 'file');
      writeFileSync(stray, '');
      expect(layout.listRootfses(directory)).toEqual({ rootfses: new Map(), strays: [stray] });
    });
  });
}
