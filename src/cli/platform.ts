import { Option } from 'commander';
import { parsePlatform } from '../stores/docker/platform.ts';

/** `--platform os/architecture[/variant]`. */
export function platformOption(): Option {
  return new Option('--platform <os/arch[/variant]>', "which of an image's platforms (default: this machine's)").argParser((text) =>
    parsePlatform(text),
  );
}
