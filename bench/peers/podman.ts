import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A podman with storage of its own below `directory`, and its REST service over one kept connection. */
export class Podman {
  readonly #socket: string;
  readonly #global: readonly string[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #service: ChildProcess | undefined;

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    this.#socket = join(directory, 'podman.sock');
    // podman refuses a runroot of more than 50 characters.
    this.#global = ['--root', join(directory, 'root'), '--runroot', join(directory, 'run'), '--tmpdir', join(directory, 'tmp'), ...GLOBAL];
  }

  run(...args: string[]): string {
    return execFileSync('podman', [...this.#global, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Loads a docker-archive; gives the image's id. */
  load(archive: string): string {
    return this.run('pull', '-q', `docker-archive:${archive}`).trim();
  }

  async startService(): Promise<void> {
    this.#service = spawn('podman', [...this.#global, 'system', 'service', '--time', '0', `unix://${this.#socket}`], { stdio: 'ignore' });
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#api('GET', '/_ping');
      } catch (error) {
        if (attempt > 500) throw error;
        await sleep(20);
      }
    }
  }

  async stopService(): Promise<void> {
    this.#agent.destroy();
    if (this.#service === undefined) return;
    this.#service.kill('SIGTERM');
    await once(this.#service, 'exit');
    this.#service = undefined;
  }

  async create(name: string, image: string): Promise<void> {
    await this.#api('POST', '/v4.0.0/libpod/containers/create', { name, image, command: ['x'], netns: { nsmode: 'none' } });
  }

  async mount(name: string): Promise<void> {
    await this.#api('POST', `/v4.0.0/libpod/containers/${name}/mount`);
  }

  async remove(name: string): Promise<void> {
    await this.#api('DELETE', `/v4.0.0/libpod/containers/${name}?force=true`);
  }

  async #api(method: string, path: string, body?: unknown): Promise<void> {
    const sent = request({ socketPath: this.#socket, agent: this.#agent, method, path, headers: { 'Content-Type': 'application/json' } });
    sent.end(body === undefined ? undefined : JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
    if ((response.statusCode ?? 500) >= 400) throw new Error(`podman: ${method} ${path}: ${response.statusCode} ${text.slice(0, 300)}`);
  }
}

const GLOBAL = ['--storage-driver', 'overlay', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none'];
