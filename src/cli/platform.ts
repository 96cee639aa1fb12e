import { Option } from 'commander';
import { RootwrightError } from '../errors.ts';
import type { Platform } from '../stores/store.ts';

/** `--platform os/architecture[/variant]`. */
export function platformOption(): Option {
  return new Option('--platform <os/arch[/variant]>', "which of an image's platforms (default: this machine's)").argParser(parsePlatform);
}

function parsePlatform(text: string): Platform {
  const [, os, architecture, variant] = /^([a-z0-9]+)\/([a-z0-9]+)(?:\/([a-z0-9.]+))?$/.exec(text) ?? [];
  if (os === undefined || architecture === undefined)
    throw new RootwrightError(
      'INVALID_OPTION',
      `--platform ${JSON.stringify(text)} is not of the form os/architecture[/variant], such as linux/arm64/v8`,
    );
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
}
