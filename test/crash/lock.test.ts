import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { missingImages, ociImage } from '../support/images.ts';
import { describeWith } from '../support/requirements.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { rootwright, startVictim } from './processes.ts';

const missing = missingImages(['tiny']);

if (missing !== undefined) it.skip(`two commands at once [SKIPPED: ${missing}]`, () => undefined);
else
  describeWith(['node'], 'two commands at once on one directory', () => {
    it('the second waits for the first, and then does its work', async () => {
      const root = temporaryDirectory('lock');
      const holder = await startVictim({ root, known: [], operation: 'hold' });
      let ended = false;
      const second = rootwright('provision', 'second', ociImage('tiny'), '--root', root).finally(() => (ended = true));
      await sleep(1000);
      expect(ended).toBe(false);
      holder.process.stdin?.end();
      await holder.exited;
      expect(await second).toMatchObject({ exitCode: 0 });
      expect((await rootwright('destroy', 'second', '--root', root)).exitCode).toBe(0);
    });

    it('a wait that is over ends with ROOT_LOCKED and exit status 4', async () => {
      const root = temporaryDirectory('lock');
      const holder = await startVictim({ root, known: [], operation: 'hold' });
      const second = await rootwright('pull', ociImage('tiny'), '--wait', '0.2', '--json', '--root', root);
      expect(second.exitCode).toBe(4);
      expect(second.stdout + second.stderr).toContain('ROOT_LOCKED');
      holder.process.stdin?.end();
      await holder.exited;
    });

    it('kill -9 of the holder frees the directory for the one who waits', async () => {
      const root = temporaryDirectory('lock');
      const holder = await startVictim({ root, known: [], operation: 'hold' });
      const second = rootwright('pull', ociImage('tiny'), '--root', root);
      await sleep(300);
      holder.process.kill('SIGKILL');
      await holder.exited;
      expect(await second).toMatchObject({ exitCode: 0 });
    });

    it('reading goes on while another command is at work', async () => {
      const root = temporaryDirectory('lock');
      expect((await rootwright('provision', 'one', ociImage('tiny'), '--root', root)).exitCode).toBe(0);
      const holder = await startVictim({ root, known: ['one'], operation: 'hold' });
      const listed = await rootwright('list', '--json', '--root', root);
      expect(listed).toMatchObject({ exitCode: 0 });
      expect(listed.stdout).toContain('"one"');
      holder.process.stdin?.end();
      await holder.exited;
      expect((await rootwright('destroy', 'one', '--root', root)).exitCode).toBe(0);
    });
  });
