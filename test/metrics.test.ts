import { describe, expect, it } from 'vitest';
import { MemoryMetrics, METRICS, openPrometheusMetrics } from '../src/metrics.ts';

describe('[ME1] metrics', () => {
  it('counters add up by their labels', () => {
    const metrics = new MemoryMetrics();
    metrics.increment('provisions_total', { backend: 'overlay', outcome: 'ok' });
    metrics.increment('provisions_total', { backend: 'overlay', outcome: 'ok' });
    metrics.increment('provisions_total', { backend: 'copy', outcome: 'failed' });
    metrics.increment('unpacked_bytes_total', {}, 4096);
    expect(new Set(Object.values(metrics.snapshot()))).toEqual(new Set([1, 2, 4096]));
  });

  it('timers know how often, how long in all, and the longest', () => {
    const metrics = new MemoryMetrics();
    for (const seconds of [0.5, 2, 1]) metrics.observe('destroy_seconds', { backend: 'overlay' }, seconds);
    const values = Object.entries(metrics.snapshot());
    expect(values.find(([name]) => name.endsWith(':count'))?.[1]).toBe(3);
    expect(values.find(([name]) => name.endsWith(':sum'))?.[1]).toBe(3.5);
    expect(values.find(([name]) => name.endsWith(':max'))?.[1]).toBe(2);
  });

  it('a snapshot is ordered by name', () => {
    const metrics = new MemoryMetrics();
    for (const outcome of ['ok', 'aborted', 'failed']) metrics.increment('pulls_total', { outcome });
    const names = Object.keys(metrics.snapshot());
    expect(names).toHaveLength(3);
    expect(names).toEqual(names.toSorted());
  });

  it('Prometheus sees all of them, with help and prefix', async () => {
    const metrics = await openPrometheusMetrics();
    metrics.increment('pulls_total', { outcome: 'ok' });
    metrics.observe('recovery_seconds', {}, 0.01);
    const text = await metrics.registry.metrics();
    for (const [name, { kind, help }] of Object.entries(METRICS)) {
      expect(text).toContain(`# HELP rootwright_${name} ${help}\n`);
      expect(text).toContain(`# TYPE rootwright_${name} ${kind}\n`);
    }
    expect(text).toContain('rootwright_pulls_total{outcome="ok"} 1\n');
    expect(text).toContain('rootwright_recovery_seconds_count 1\n');
  });

  it('two engines in one process do not collide (mesos.md 6.7)', async () => {
    const [first, second] = [await openPrometheusMetrics(), await openPrometheusMetrics()];
    first.increment('prunes_total', { outcome: 'ok' });
    expect(await second.registry.metrics()).not.toContain('rootwright_prunes_total{outcome="ok"} 1');
  });
});
