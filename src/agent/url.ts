/** Null for a text that is no URL. (URL.canParse came with Node.js 18.17, after the first 18 that Debian shipped.) */
export function parseUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch (error) {
    if (error instanceof TypeError) return null;
    throw error;
  }
}
