/** What messages call a source: as the user named it, but for "-". */
export function nameOfSource(uri: string): string {
  return uri === '-' ? 'standard input' : uri;
}
