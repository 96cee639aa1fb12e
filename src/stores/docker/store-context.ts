import type { LimitFunction } from 'p-limit';
import type { Kernel } from '../../linux/kernel.ts';
import type { LayerForm } from '../../paths/docker-store.ts';
import type { StoreLogger } from '../logger.ts';
import type { StateIndex } from '../state-index.ts';
import type { LayerCommitter } from './commit-layer.ts';
import type { FileRegion } from './digest.ts';
import type { ImageRecords } from './image-records.ts';
import type { LayerTable } from './layer-table.ts';
import type { Pins } from './pins.ts';
import type { Sweeper } from './sweeper.ts';

/** What the parts of one docker store share. */
export interface StoreContext {
  /** `<root>/store/docker`. */
  readonly directory: string;
  /** `<root>/quarantine`. */
  readonly quarantine: string;
  readonly kernel: Kernel;
  readonly index: StateIndex;
  readonly logger: StoreLogger;
  readonly records: ImageRecords;
  readonly pins: Pins;
  readonly layers: LayerTable;
  readonly committer: LayerCommitter;
  /** Made when the first layer is to be unpacked: most commands never unpack one. */
  readonly unpacker: () => Promise<Unpacker>;
  readonly sweeper: Sweeper;
  /** Layers unpacked at once. */
  readonly limit: LimitFunction;
  /** Clean-ups that go on after a get has settled, because others still use what it began. */
  readonly background: Set<Promise<unknown>>;
}

/** What the store needs of layers/unpack.ts. */
export interface Unpacker {
  /** Unpacks one packed layer into `target`, verifying both digests; on failure or abort all work has stopped when it settles. */
  unpack(request: UnpackLayerRequest, signal?: AbortSignal): Promise<UnpackedLayer>;
  close(): Promise<void>;
}

export interface UnpackedLayer {
  readonly entries: number;
  /** Of the tar archive. */
  readonly bytes: number;
  /** What the file system could not take, for the log. */
  readonly warnings?: readonly string[];
}

export interface UnpackLayerRequest {
  readonly source: FileRegion;
  readonly mediaType: string;
  /** Of the packed bytes; undefined where it is not known. */
  readonly digest: string | undefined;
  readonly diffId: string;
  readonly form: LayerForm;
  /** Absent; made by the call. */
  readonly target: string;
  readonly onBytes?: (packedBytes: number) => void;
}
