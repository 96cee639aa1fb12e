import { statfs } from 'node:fs/promises';
import type { FilesystemType } from './kernel.ts';

/** The type of the file system that holds `path`, by statfs(2). Fails as node:fs does (ENOENT, EACCES). */
export async function filesystemTypeOf(path: string): Promise<FilesystemType> {
  const { type } = await statfs(path);
  return namedType(type);
}

/** Names a statfs(2) f_type. The kernel's `long` is cut to its 32 bits of magic. */
export function namedType(type: number | bigint): FilesystemType {
  const magic = Number(BigInt.asUintN(32, BigInt(type)));
  return { magic, name: NAMES.get(magic) ?? 'unknown' };
}

/** The type of that name, as /proc/filesystems and mountinfo spell it ('ext4'); its magic is 0 where the table has none. */
export function typeNamed(name: string): FilesystemType {
  const family = /^ext[234]$/.test(name) ? 'ext' : name;
  for (const [magic, known] of NAMES) if (known === family) return { magic, name: known };
  return { magic: 0, name: 'unknown' };
}

/** Magic numbers from linux/magic.h and from the file systems' own headers; names as Mesos has them ('ext' for ext2, ext3 and ext4). */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0x61756673, 'aufs'],
  [0xca451a4e, 'bcachefs'],
  [0x9123683e, 'btrfs'],
  [0x00c36400, 'ceph'],
  [0x0027e0eb, 'cgroup'],
  [0x63677270, 'cgroup2'],
  [0xff534d42, 'cifs'],
  [0x73757245, 'coda'],
  [0x28cd3d45, 'cramfs'],
  [0x64626720, 'debugfs'],
  [0x00001cd1, 'devpts'],
  [0x0000f15f, 'ecryptfs'],
  [0xe0f5e1e2, 'erofs'],
  [0x2011bab0, 'exfat'],
  [0x0000ef53, 'ext'],
  [0xf2f52010, 'f2fs'],
  [0x65735546, 'fuse'],
  [0x01161970, 'gfs2'],
  [0x47504653, 'gpfs'],
  [0x00004244, 'hfs'],
  [0x958458f6, 'hugetlbfs'],
  [0x00009660, 'iso9660'],
  [0x000072b6, 'jffs2'],
  [0x3153464a, 'jfs'],
  [0x0bd00bd0, 'lustre'],
  [0x00004d44, 'msdos'],
  [0x00006969, 'nfs'],
  [0x00003434, 'nilfs2'],
  [0x6e736673, 'nsfs'],
  [0x7366746e, 'ntfs'],
  [0x7461636f, 'ocfs2'],
  [0x794c7630, 'overlay'],
  [0x50495045, 'pipefs'],
  [0x00009fa0, 'proc'],
  [0x858458f6, 'ramfs'],
  [0x52654973, 'reiserfs'],
  [0x00007275, 'romfs'],
  [0x73636673, 'securityfs'],
  [0x0000517b, 'smb'],
  [0xfe534d42, 'smb2'],
  [0x73717368, 'squashfs'],
  [0x62656572, 'sysfs'],
  [0x01021994, 'tmpfs'],
  [0x74726163, 'tracefs'],
  [0x24051905, 'ubifs'],
  [0x15013346, 'udf'],
  [0x01021997, 'v9fs'],
  [0x786f4256, 'vboxsf'],
  [0xbacbacbc, 'vmhgfs'],
  [0xa501fcf5, 'vxfs'],
  [0x58465342, 'xfs'],
  [0x2fc12fc1, 'zfs'],
]);
