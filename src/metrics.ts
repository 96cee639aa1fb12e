import type { Counter, Histogram, Registry } from 'prom-client';

/**
 * Every metric, once: its kind, help and label names. Labels have few values by construction: backends, outcomes, places in the code;
 * never an image name, a container id or a path. Times are in seconds, sizes in bytes.
 */
export const METRICS = {
  provisions_total: {
    kind: 'counter',
    labels: ['backend', 'outcome'],
    help: 'Provisions that ended, by backend and outcome (ok, failed, aborted, destroyed).',
  },
  provision_seconds: {
    kind: 'histogram',
    labels: ['backend'],
    help: 'Time of provisions that succeeded, from the request to the rootfs, pulling included.',
  },
  destroys_total: { kind: 'counter', labels: ['backend', 'outcome'], help: 'Root filesystems taken apart, by backend and outcome (ok, failed).' },
  destroy_seconds: { kind: 'histogram', labels: ['backend'], help: 'Time to take one root filesystem apart.' },
  pulls_total: {
    kind: 'counter',
    labels: ['outcome'],
    help: 'Images asked of a store, by outcome (ok, failed, aborted); callers that share one count once.',
  },
  pull_seconds: { kind: 'histogram', labels: ['outcome'], help: 'Time that a store took to answer with an image.' },
  layers_total: { kind: 'counter', labels: ['outcome'], help: 'Layers of pulled images, by outcome (unpacked, exists).' },
  unpacked_bytes_total: { kind: 'counter', labels: [], help: 'Compressed bytes of the layers that were unpacked.' },
  prunes_total: { kind: 'counter', labels: ['outcome'], help: 'Prunes, by outcome (ok, failed).' },
  pruned_bytes_total: { kind: 'counter', labels: [], help: 'Bytes of the layers that prune removed.' },
  recoveries_total: {
    kind: 'counter',
    labels: ['outcome'],
    help: 'Recoveries, by outcome (ok, failed; ok with items that could not be put right counts as partial).',
  },
  recovery_seconds: { kind: 'histogram', labels: [], help: 'Time of a recovery.' },
  remove_container_errors_total: {
    kind: 'counter',
    labels: [],
    help: 'Clean-ups of a container that failed: nested containers, backends, its directory.',
  },
  swallowed_errors_total: { kind: 'counter', labels: ['place'], help: 'Errors that stopped nothing and were only logged, by place in the code.' },
} as const satisfies Record<string, MetricDefinition>;

interface MetricDefinition {
  readonly kind: 'counter' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
}

type NamesOf<K extends MetricDefinition['kind']> = { [N in MetricName]: (typeof METRICS)[N]['kind'] extends K ? N : never }[MetricName];
export type MetricName = keyof typeof METRICS;
export type CounterName = NamesOf<'counter'>;
export type HistogramName = NamesOf<'histogram'>;
/** A value for each label of the metric, no more and no less. */
export type LabelsOf<N extends MetricName> = Readonly<Record<(typeof METRICS)[N]['labels'][number], string>>;

/** Where the engine counts. Implementations: {@link MemoryMetrics} (the default), {@link openPrometheusMetrics}. Neither call may throw. */
export interface Metrics {
  increment<N extends CounterName>(name: N, labels: LabelsOf<N>, by?: number): void;
  observe<N extends HistogramName>(name: N, labels: LabelsOf<N>, seconds: number): void;
}

/** Sums in memory: a counter's value, and of a histogram how often, how long in all, and the longest. Cheap enough to be always on. */
export class MemoryMetrics implements Metrics {
  readonly #values = new Map<string, number>();

  increment<N extends CounterName>(name: N, labels: LabelsOf<N>, by = 1): void {
    this.#add(keyOf(name, labels), by);
  }

  observe<N extends HistogramName>(name: N, labels: LabelsOf<N>, seconds: number): void {
    const key = keyOf(name, labels);
    this.#add(`${key}:count`, 1);
    this.#add(`${key}:sum`, seconds);
    this.#values.set(`${key}:max`, Math.max(this.#values.get(`${key}:max`) ?? 0, seconds));
  }

  /** Every value that was counted, by `name{label="value"}`, sorted by key. */
  snapshot(): Record<string, number> {
    return Object.fromEntries([...this.#values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  #add(key: string, by: number): void {
    this.#values.set(key, (this.#values.get(key) ?? 0) + by);
  }
}

/** As {@link Metrics}, readable in the text format of Prometheus. */
export interface PrometheusMetrics extends Metrics {
  /** Its own: nothing is registered with prom-client's global registry, so that two engines in one process do not collide. */
  readonly registry: Registry;
}

/** Metrics as `rootwright_*` in a prom-client registry, a new one unless given. prom-client is loaded on the first call only. */
export async function openPrometheusMetrics(registry?: Registry): Promise<PrometheusMetrics> {
  const client = await import('prom-client');
  const target = registry ?? new client.Registry();
  const counters = new Map<MetricName, Counter>();
  const histograms = new Map<MetricName, Histogram>();
  for (const [key, { kind, labels, help }] of Object.entries(METRICS)) {
    const name = key as MetricName;
    const configuration = { name: `rootwright_${name}`, help, labelNames: [...labels], registers: [target] };
    if (kind === 'counter') counters.set(name, new client.Counter(configuration));
    else histograms.set(name, new client.Histogram({ ...configuration, buckets: BUCKETS_SECONDS }));
  }
  return {
    registry: target,
    increment: (name, labels, by = 1) => counters.get(name)?.inc(labels, by),
    observe: (name, labels, seconds) => histograms.get(name)?.observe(labels, seconds),
  };
}

/** From an overlay mount to a large image from far away. */
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

function keyOf(name: string, labels: Readonly<Record<string, string>>): string {
  let key = '';
  for (const label in labels) key += `${key === '' ? '' : ','}${label}="${labels[label]}"`;
  return key === '' ? name : `${name}{${key}}`;
}
