import { defineConfig } from 'vitest/config';
import { SkippedReporter } from './test/support/skipped-reporter.ts';

// Tests run as tsc emits them: what is tested is what is shipped, and worker threads load on every Node. BUILD names another output directory.
const build = process.env['BUILD'] ?? 'build';

export default defineConfig({
  test: {
    include: [`${build}/test/**/*.test.js`],
    exclude: ['**/node_modules/**'],
    globalSetup: './scripts/test-images.mjs',
    reporters: [new SkippedReporter(), 'default'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 300_000,
    teardownTimeout: 30_000,
  },
});
