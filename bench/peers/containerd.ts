import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What `ctrbench bulk` and `ovl bulk` print. */
export interface BulkResult {
  readonly wall_s: { readonly provision: number; readonly destroy: number };
  readonly us: { readonly provision: readonly number[]; readonly destroy: readonly number[] };
}

/** A containerd of its own below `directory`, with the overlayfs snapshotter and nothing else that works in the background. */
export class Containerd {
  readonly #directory: string;
  readonly #ctrbench: string;
  readonly #socket: string;
  #daemon: ChildProcess | undefined;

  constructor(directory: string, ctrbench: string) {
    this.#directory = directory;
    this.#ctrbench = ctrbench;
    this.#socket = join(directory, 'containerd.sock');
  }

  async start(): Promise<void> {
    mkdirSync(this.mounts, { recursive: true });
    const config = join(this.#directory, 'config.toml');
    writeFileSync(config, configuration(this.#directory, this.#socket));
    this.#daemon = spawn('containerd', ['-c', config], { stdio: 'ignore' });
    execFileSync(this.#ctrbench, ['wait'], { env: this.#environment, timeout: 30_000 });
  }

  /** Where its containers are mounted. */
  get mounts(): string {
    return join(this.#directory, 'mounts');
  }

  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }

  /** Resident memory, in megabytes (10^6 bytes). */
  get residentMB(): number {
    return residentMB(this.pid);
  }

  /** Imports and unpacks a docker-archive whose image is tagged NAME:latest; gives the image's full name. */
  import(archive: string, name: string): string {
    this.ctr('images', 'import', archive);
    return `docker.io/library/${name}:latest`;
  }

  ctr(...args: string[]): void {
    execFileSync('ctr', ['-a', this.#socket, '-n', 'bench', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  /** Provisions `count` containers, `atOnce` at a time, through a persistent client: prepare, mount(2); then umount and remove. */
  bulk(image: string, count: number, atOnce: number): BulkResult {
    const args = ['bulk', image, `${count}`, `${atOnce}`, this.mounts];
    return JSON.parse(execFileSync(this.#ctrbench, args, { env: this.#environment, encoding: 'utf8', maxBuffer: 1 << 28 })) as BulkResult;
  }

  async stop(): Promise<void> {
    if (this.#daemon === undefined) return;
    this.#daemon.kill('SIGTERM');
    await once(this.#daemon, 'exit');
    this.#daemon = undefined;
  }

  get #environment(): NodeJS.ProcessEnv {
    return { ...process.env, CONTAINERD_ADDRESS: this.#socket, CONTAINERD_NAMESPACE: 'bench', SNAPSHOTTER: 'overlayfs' };
  }
}

/** Resident memory of a process, in megabytes (10^6 bytes). */
export function residentMB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return (Number(line?.[1]) * 1024) / 1e6;
}

function configuration(directory: string, socket: string): string {
  const disabled = [
    'io.containerd.grpc.v1.cri',
    'io.containerd.internal.v1.restart',
    ...['aufs', 'btrfs', 'devmapper', 'zfs'].map((name) => `io.containerd.snapshotter.v1.${name}`),
    'io.containerd.tracing.processor.v1.otlp',
  ];
  return `version = 2
root = ${JSON.stringify(join(directory, 'root'))}
state = ${JSON.stringify(join(directory, 'state'))}
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
  address = ${JSON.stringify(socket)}
[debug]
  level = "error"
[plugins."io.containerd.internal.v1.opt"]
  path = ${JSON.stringify(join(directory, 'opt'))}
`;
}
