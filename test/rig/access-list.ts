// Access control lists of files, as the kernel keeps them (acl(5), linux/posix_acl_xattr.h).

/** Kinds of entries. */
export const ACL = { owner: 1, user: 2, group: 4, mask: 16, others: 32 } as const;

/**
 * The value of system.posix_acl_access or system.posix_acl_default: kind, permissions (r 4, w 2, x 1), and the user's
 * number or -1.
 */
export function accessList(entries: readonly (readonly [kind: number, permissions: number, id: number])[]): Buffer {
  const list = Buffer.alloc(4 + entries.length * 8);
  list.writeUInt32LE(2);
  for (const [index, [kind, permissions, id]] of entries.entries()) {
    list.writeUInt16LE(kind, 4 + index * 8);
    list.writeUInt16LE(permissions, 6 + index * 8);
    list.writeInt32LE(id, 8 + index * 8);
  }
  return list;
}
