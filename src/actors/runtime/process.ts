import { RootwrightError } from '../../errors.ts';

// Set while the class below is evaluated, so it must be declared above it.
let lifecycle: Lifecycle;

/**
 * An actor: an object whose state only its own turns touch. Its public methods are what others `dispatch` to it; they run one turn at a
 * time, in the order of dispatch, and their answers travel back as promises. Two kinds of mailbox end a turn differently (see
 * `SpawnOptions.mailbox`). Modelled on libprocess's `Process<T>`.
 *
 * In an interleaved mailbox other turns run during each `await`, and the process may be terminated there: after an await, call
 * `this.signal.throwIfAborted()` and read state again.
 *
 * @example
 * class Counter extends Process {
 *   #count = 0;
 *   add(n: number): number { this.#count += n; return this.#count; }
 * }
 * const counter = system.spawn(new Counter(), { name: 'counter' });   // counter(1)
 * await dispatch(counter, 'add', 2);                                   // 2
 */
export abstract class Process {
  #host: ProcessHost | undefined;

  /**
   * Aborted when the process terminates, its reason the ACTOR_TERMINATED error: long handlers pass it on. A handler that does not listen
   * holds termination up until it settles.
   */
  protected get signal(): AbortSignal {
    return this.#spawned().signal;
  }

  /**
   * The process's own PID, for `defer(this.self, () => …)`. TypeScript can't check a method name against the polymorphic `this`; where a
   * class dispatches to itself it says which class it is: `const self: PID<Counter> = this.self`.
   */
  protected get self(): PID<this> {
    return this.#spawned().pid as PID<this>;
  }

  /** Runs inside `spawn`, before any turn. What it throws, `spawn` throws, and nothing has been spawned. */
  protected initialize(): void {}

  /** Runs once, after termination, when every handler that had begun has settled: no turn follows it. */
  protected finalize(): void {}

  #spawned(): ProcessHost {
    if (this.#host === undefined)
      throw new RootwrightError('INVALID_OPTION', `${this.constructor.name} has no signal and no self before it is spawned`);
    return this.#host;
  }

  // The runtime's own way in: not part of the type, so no subclass can clash with it.
  static {
    lifecycle = {
      attach(process, host) {
        if (process.#host !== undefined)
          throw new RootwrightError('INVALID_OPTION', `${process.#host.pid.id} is spawned already: a process is spawned once`);
        process.#host = host;
      },
      initialize: (process) => process.initialize(),
      finalize: (process) => process.finalize(),
    };
  }
}

declare const PROCESS: unique symbol;

/** The address of a process, as libprocess's `PID<T>`: safe to hand out and to keep after the process has gone. */
export interface PID<out P extends Process = Process> {
  /** `name(N)`, N counted per name in a system. */
  readonly id: string;
  /** Never set: it carries the type of the process. */
  readonly [PROCESS]?: P;
}

/** The names of the methods that can be dispatched to a `P`. */
export type MethodName<P> = Exclude<{ [K in keyof P]-?: P[K] extends Method ? K : never }[keyof P], 'initialize' | 'finalize' | symbol | number>;
export type MethodArguments<P, K extends keyof P> = P[K] extends Method ? Parameters<P[K]> : never;
export type MethodResult<P, K extends keyof P> = P[K] extends Method ? Awaited<ReturnType<P[K]>> : never;
/** Any method at all: `never[]` accepts every list of parameters. */
export type Method = (...args: never[]) => unknown;

/** What the runtime gives to a process when it spawns it. */
export interface ProcessHost {
  readonly pid: PID;
  readonly signal: AbortSignal;
}

interface Lifecycle {
  attach(process: Process, host: ProcessHost): void;
  initialize(process: Process): void;
  finalize(process: Process): void;
}

/** How the runtime reaches the protected side of a process. */
export function processLifecycle(): Lifecycle {
  return lifecycle;
}
