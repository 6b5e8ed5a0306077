// What a system's package manager says of its files.

export interface Digest {
  /** As Node.js calls it: "md5", "sha256". */
  readonly algorithm: string;
  readonly hex: string;
}

export interface PackageDatabase {
  /** The package that brought a file; null: none did. Canonical paths. */
  ownerOf(path: string): string | null;
  /** Whether every system of its kind has this package. */
  isOfSystem(owner: string): boolean;
  /** Of a configuration file as its package brought it; null: it does not say. */
  digestOf(path: string): Digest | null;
}

/** The same for a file below "/usr/lib" and "/lib", which are one folder on newer systems (file-hierarchy(7)). */
export function plainPath(path: string): string {
  return path.replace(/^\/usr(?=\/(s?bin|lib\w*)(\/|$))/, '').replace(/^\/sbin\//, '/bin/');
}
