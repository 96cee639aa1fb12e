import { spawnSync } from 'node:child_process';
import { existsSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from './run.mjs';

const PROGRAMS = ['mmdebstrap', 'python3', 'zstd', 'dpkg-deb'];
const OVERLAYFS_MAGIC = 0x794c7630;

/**
 * A vitest global setup: makes the real images (tiny, base, app, wide, deep) that some tests provision, once; they stay in build/images for
 * the next run. ROOTWRIGHT_IMAGES names another place, and is set for the tests. Where the images can't be made it says why, and the
 * tests that need them say that they are skipped.
 */
export function setup() {
  const directory = process.env['ROOTWRIGHT_IMAGES'] ?? join(repository, 'build/images');
  process.env['ROOTWRIGHT_IMAGES'] = directory;
  if (existsSync(join(directory, 'oci/app-zstd/index.json'))) return;
  const reason = obstacle();
  if (reason !== undefined) {
    console.error(`\n*** no real images: ${reason}; tests that provision them are SKIPPED\n`);
    return;
  }
  console.error(`making the real test images in ${directory} (about 90 seconds, once)`);
  const { status } = spawnSync(join(repository, 'test/images/make-images.sh'), [directory], { stdio: ['ignore', 2, 2] });
  if (status !== 0) console.error('\n*** test/images/make-images.sh failed; tests that provision real images are SKIPPED\n');
}

function obstacle() {
  if (process.getuid() !== 0 || process.env['ROOTWRIGHT_TEST_UNPRIVILEGED'] !== undefined) return 'making them needs root';
  const missing = PROGRAMS.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);
  if (missing.length > 0) return `missing programs: ${missing.join(', ')}`;
  if (statfsSync(repository).type === OVERLAYFS_MAGIC) return `${repository} lies on overlayfs (set ROOTWRIGHT_IMAGES to a directory elsewhere)`;
  return undefined;
}
