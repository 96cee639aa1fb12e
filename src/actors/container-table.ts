import { parentOf, type ContainerId } from '../paths/container-id.ts';
import { Container } from './container-record.ts';

/** Every container that the engine knows, by id. */
export class ContainerTable {
  readonly #root: string;
  readonly #containers = new Map<ContainerId, Container>();

  readonly #onForget: (container: Container) => void;

  /** `onForget` hears of each container that has left. */
  constructor(root: string, onForget: (container: Container) => void = () => undefined) {
    this.#root = root;
    this.#onForget = onForget;
  }

  get size(): number {
    return this.#containers.size;
  }

  find(id: ContainerId): Container | undefined {
    return this.#containers.get(id);
  }

  /** The container `id`, made with every ancestor that is missing. */
  ensure(id: ContainerId): Container {
    const found = this.#containers.get(id);
    if (found !== undefined) return found;
    const parentId = parentOf(id);
    const parent = parentId === undefined ? undefined : this.ensure(parentId);
    const container = new Container(this.#root, id, parent, (gone) => this.forget(gone));
    this.#containers.set(id, container);
    parent?.children.add(container);
    return container;
  }

  /** Drops a container; the same id later is another object. */
  forget(container: Container): void {
    if (this.#containers.get(container.id) !== container) return;
    this.#containers.delete(container.id);
    container.parent?.children.delete(container);
    this.#onForget(container);
  }

  [Symbol.iterator](): IterableIterator<Container> {
    return this.#containers.values();
  }
}
