/**
 * Files of a device that VMs hold, as groups asks for it (semantics A5.2).
 *
 * Rule: a held file stays open when no client has it any more, and its VM is what the device gets with the bind.
 */
import type { Address, FileTable, Op } from '@vfiolab/core';
import { fail, ok, type Result } from '@vfiolab/uapi';
import type { CdevFile } from './cdev-file.js';
import type { MadeFiles } from './made-files.js';

/** `made`: files that the device made (data fds, dma-bufs); `unheld`: a VM has let go of one. */
export const ofVms = (
  tokens: FileTable<CdevFile>,
  made: MadeFiles,
  files: ReadonlyMap<number, CdevFile>,
  unheld: (file: CdevFile) => Op<void>,
) => ({
  /** EBADF; EINVAL: a file that the device made. */
  fileHold(_: unknown, { token, client }: { token: string; client: Address }): Result<{ file: number }> {
    const file = tokens.get(token, client);
    if (!file) return fail(made.get(token, client) ? 'EINVAL' : 'EBADF');
    file.holders++;
    return ok({ file: file.id });
  },

  *fileDrop(_: unknown, { file: id }: { file: number }): Op<void> {
    const file = files.get(id)!;
    file.holders--;
    yield* unheld(file);
  },

  fileVm(_: unknown, { file, vm }: { file: number; vm: number }): void {
    files.get(file)!.vm = vm;
  },
});

/** Is a file open that neither one of the clients' `tokens` nor a VM has? */
export const someAbandoned = (files: readonly CdevFile[], tokens: number): boolean =>
  tokens < files.filter(({ closed }) => !closed).length || files.some(({ closed, holders }) => closed && holders === 0);
