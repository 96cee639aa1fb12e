import type { Command } from 'commander';
import type { ContainerOnDisk } from '../../actors/read-containers.ts';
import type { CommandLine } from '../command-line.ts';
import { stateOf } from '../container-state.ts';
import { examples } from '../examples.ts';
import { type Cell, formatTable } from '../table.ts';
import { formatAge } from '../text.ts';

/** `rootwright list`: the containers, read from disk without the engine, also while another process holds the directory. */
export function addList(program: Command, cli: CommandLine): void {
  program
    .command('list')
    .summary('list the containers')
    .description('Lists the containers, nested ones below their parents. It only reads, and works while an engine holds the directory.')
    .addHelpText('after', examples(['list', 'a table'], ["list --json | jq -r '.containers[].id'", 'ids only']))
    .action(async () => {
      const { readContainers } = await import('../../actors/read-containers.ts');
      const containers = readContainers(cli.settings.root);
      cli.output.result({ containers: containers.map((container) => summaryOf(container)) }, () =>
        formatTable(['CONTAINER', 'STATE', 'BACKEND', 'ROOTFSES', 'CREATED', 'IMAGE'], containers.map(rowOf), cli.output.style),
      );
    });
}

function summaryOf(container: ContainerOnDisk): object {
  const { id, directory, damage } = container;
  const rootfses = container.rootfses.map(({ id, backend, image, rootfs, ready, createdAt }) => ({ id, backend, image, rootfs, ready, createdAt }));
  return { id, state: stateOf(container), directory, rootfses, ...(damage === undefined ? {} : { damage }) };
}

function rowOf(container: ContainerOnDisk): Cell[] {
  const { id, rootfses } = container;
  const state = stateOf(container);
  const newest = Math.max(...rootfses.map(({ createdAt }) => createdAt));
  return [
    id,
    state === 'provisioned' || state === 'parent' ? state : { text: state, format: state === 'damaged' ? 'red' : 'yellow' },
    together(rootfses.map(({ backend }) => backend)),
    rootfses.length,
    rootfses.length === 0 ? '-' : formatAge(newest),
    together(rootfses.map(({ image }) => image)),
  ];
}

function together(names: readonly string[]): string {
  return [...new Set(names)].join(', ') || '-';
}
