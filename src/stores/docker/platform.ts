import { endianness } from 'node:os';
import { RootwrightError } from '../../errors.ts';
import type { Platform } from '../store.ts';

/** The platform of this machine, in Go's words as images have it. */
export function machinePlatform(): Platform {
  return normalizePlatform({ os: process.platform === 'win32' ? 'windows' : process.platform, architecture: goArchitecture() });
}

/**
 * One spelling for one platform: `x86_64` is `amd64`, `aarch64` is `arm64`; the variant that an architecture has anyway (`v8` of arm64,
 * `v1` of amd64) is left out, and that of arm (`v7`) is written out.
 */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const alias = ARCHITECTURE_ALIASES[platform.architecture.toLowerCase()];
  const architecture = alias?.architecture ?? platform.architecture.toLowerCase();
  let variant = (platform.variant ?? '').toLowerCase() || alias?.variant;
  if (variant !== undefined && /^\d$/.test(variant)) variant = `v${variant}`;
  if (architecture === 'arm') variant ??= 'v7';
  if (variant === IMPLIED_VARIANT[architecture]) variant = undefined;
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}

/** `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter((part) => part !== undefined && part !== '').join('/');
}

/** The reverse of {@link formatPlatform}, normalised. Fails with INVALID_OPTION. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/');
  if (!/^[\w.-]+(\/[\w.-]+){1,2}$/.test(text) || os === undefined || architecture === undefined || rest.length > 0)
    throw new RootwrightError('INVALID_OPTION', `the platform ${JSON.stringify(text)} is not of the form os/architecture[/variant]`);
  return normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

/**
 * How well a machine of platform `wanted` runs an image of platform `offered`: undefined where it does not, else a number, higher is
 * better. A variant runs what is written for it and for lower ones (`arm/v7` runs v7, v6, v5; `amd64/v3` runs v3, v2, v1).
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const [want, offer] = [normalizePlatform(wanted), normalizePlatform(offered)];
  if (want.os !== offer.os || want.architecture !== offer.architecture) return undefined;
  if (want.variant === offer.variant) return Number.MAX_SAFE_INTEGER;
  const [wantLevel, offerLevel] = [variantLevel(want), variantLevel(offer)];
  if (wantLevel === undefined || offerLevel === undefined || offerLevel > wantLevel) return undefined;
  return offerLevel;
}

/** Attestations and the like: carried in an index beside images, with a platform that no machine has. */
export function isNoPlatform(platform: { readonly os?: string; readonly architecture?: string } | undefined): boolean {
  return platform?.os === 'unknown' || platform?.architecture === 'unknown';
}

const IMPLIED_VARIANT: Readonly<Record<string, string>> = { arm64: 'v8', amd64: 'v1' };

const ARCHITECTURE_ALIASES: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
  i386: { architecture: '386' },
};

function variantLevel(platform: Platform): number | undefined {
  const variant = platform.variant ?? IMPLIED_VARIANT[platform.architecture];
  const level = /^v(\d+)(?:\.\d+)?$/.exec(variant ?? '')?.[1];
  return level === undefined ? undefined : Number(level);
}

function goArchitecture(): string {
  if (process.arch === 'ppc64') return endianness() === 'LE' ? 'ppc64le' : 'ppc64';
  return GO_ARCHITECTURES[process.arch] ?? process.arch;
}

const GO_ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', mipsel: 'mipsle' };
