// The far end of test-on-node.mjs: runs in the copy, under the version asked for.
import { run } from './run.mjs';

const [version, ...vitestArguments] = process.argv.slice(2);
if (process.versions.node !== version && !process.versions.node.startsWith(`${version}.`)) {
  console.error(`asked for Node ${version}, this is ${process.versions.node}`);
  process.exit(1);
}
console.error(`testing on Node ${process.versions.node}`);
run('npm', ['test', '--', ...vitestArguments]);
