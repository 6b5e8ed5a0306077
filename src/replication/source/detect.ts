// The format of a source that can be read at any offset, by its first bytes and its last.
import { detectFormat, isVhdFooter, type SourceFormat } from './format.ts';

/** Bytes that formats are told by; a PGP signature is one that ends before. */
export const HEAD_BYTES = 4097;
export const FOOTER_BYTES = 512;

/** A VHD of the fixed kind has a footer only. */
export function detectStored(head: Uint8Array, footer: Uint8Array): SourceFormat {
  const format = detectFormat(head);
  return format === 'raw' && footer.byteLength === FOOTER_BYTES && isVhdFooter(footer) ? 'vpc' : format;
}
