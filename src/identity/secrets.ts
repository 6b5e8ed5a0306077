// Secrets in lines that are shown: passwords, tokens and keys, wherever configuration files and command lines have
// them. A line is shown so that people see which one it is, so what may be a secret is better hidden than shown.

const HIDDEN = '(secret)';
/** Longer lines are data; patterns would take long for them. */
const LINE_CHARS_MAX = 4096;

const SECRET_NAME =
  /pass(?!enger|ive|ing|age)|pwd|secret|token|credential|(?:api|access|private|auth|encrypt(?:ion)?|account|shared|sign(?:ing)?|session|licen[cs]e|master|storage|deploy)[_.-]?key|psk$|^psk|wep-key|cookie|community|webhook/i;
/** As they are called where the whole name is short, before "=" or ":" only. */
const SHORT_NAME = /^(?:key|sig|signature|auth|pw|pin|code|sas)$/i;
/** Values that keep nothing. */
const PLAIN =
  /^(?:yes|no|true|false|on|off|none|null|enabled?|disabled?|required|optional|\d{1,3}|files|compat|systemd)$/i;
const NAMES_A_FILE = /(?:file|path|dir|folder|url|command|cmd)$/i;

function isSecret(name: string, value: string): boolean {
  const bare = value.replace(/^["']|["']$/g, '');
  if (bare === '' || PLAIN.test(bare)) return false;
  if (NAMES_A_FILE.test(name) && /^(?:~?\/|https?:)/.test(bare)) return false;
  return SECRET_NAME.test(name) || (SHORT_NAME.test(name) && bare.length >= 8);
}

type Hide = (line: string) => string;

/** Quotes stay, so that what it is in the language of the file is seen. */
function hidden(value: string): string {
  const quote = /^["']/.exec(value)?.[0] ?? '';
  return `${quote}${HIDDEN}${quote}`;
}

const VALUE = String.raw`"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;&|<>]+`;

/** name=value, name: value, "name" => "value", name('value'), <name>value<, --name value, -name value */
const NAMED: readonly RegExp[] = [
  new RegExp(String.raw`(["']?)([A-Za-z][\w.-]*)(\1\]?\s*(?:=>|:=|=|:)\s*)(?=(${VALUE}))`, 'g'),
  /(["'])([A-Za-z][\w.-]*)(\1\s*,\s*)("[^"]*"|'[^']*')/g,
  new RegExp(String.raw`((?:^|\s)--?)([A-Za-z][\w-]*)(\s+)(${VALUE})`, 'g'),
  /(<)([A-Za-z][\w:-]*)([^<>]*>)([^<]+)(?=<)/g,
];

/** The name is the second group, the value the fourth, which may hold further names itself. */
function named(pattern: RegExp): Hide {
  return (line) => {
    let shown = '';
    let done = 0;
    for (const { index, 0: all, 2: name = '', 4: value = '' } of line.matchAll(pattern)) {
      if (index < done || !isSecret(name, value)) continue;
      const start = line.indexOf(value, index + all.length - (all.endsWith(value) ? value.length : 0));
      shown += line.slice(done, start) + hidden(value);
      done = start + value.length;
    }
    return shown + line.slice(done);
  };
}

/** The first word says what the rest of the line is: "requirepass hunter2". */
const hideRest: Hide = (line) =>
  line.replace(/^(\s*[#;]?\s*)([A-Za-z][\w.-]*)(\s+)(\S.*)$/, (all, before, name, between, rest: string) =>
    isSecret(name, rest) && !/^[=:]/.test(rest) ? `${before}${name}${between}${HIDDEN}` : all,
  );

/** Group 1 stays, and so does group 3 where there is one. */
const SHAPES: readonly RegExp[] = [
  // user:password@ and a token@ of URLs.
  /((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}:\/\/[^\s/@:]*:)([^\s/@]+)(@)/gi,
  /((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}:\/\/)([^\s/@:]{16,})(@)/gi,
  // curl, wget, lftp, smbclient.
  /((?:^|\s)(?:-u|-U|--user|--proxy-user)[\s=]*["']?[^\s"':%,]+[:%,])([^\s"']+)/g,
  /((?:authorization|proxy-authorization)\s*:\s*(?:\w+\s+)?)([^\s"']+)/gi,
  /(\b(?:bearer|basic)\s+)([\w.~+/=-]{8,})/gi,
  // mysql, mariadb, 7z: behind the letter; of find, these are other options.
  /((?:^|\s)-[pP])(?!(?:rint0?f?|ath|erm|rune|id|rogress|r?|[\d:,.-]+)(?:\s|$))([^\s]{2,})/g,
  /(\b(?:sshpass|mongo\w*|htpasswd|ncftp\w*|zip|unzip|sqlcmd|ipmitool|(?:docker|podman|helm|az|oc)\s.{0,60}?\blogin)\b.{0,200}?\s-[pPb]\s*)(\S+)/g,
  /(\b(?:redis-cli|valkey-cli)\b.{0,200}?\s-a\s*)(\S+)/g,
  /(\bldap\w+\b.{0,200}?\s-w\s*)(\S+)/g,
  /(\bsnmp\w+\b.{0,200}?\s-[cAX]\s*)(\S+)/g,
  /(\bopenssl\b.{0,200}?\s-(?:k|K|pass|passin|passout)\s+)(\S+)/g,
  /(\b(?:sqlplus|impdp|expdp|rman|sqlldr|exp|imp)\b.{0,200}?\s[A-Za-z]\w*\/)([^\s/@]+)/g,
  /(\b(?:echo|printf)\s+)(.+?)(\s*\|)/g,
  /(\b(?:password|passwd|passphrase|pwd)\s+)([^\s=:]{3,})(?=\s|$)/gi,
  /(\bidentified\s+(?:with\s+\S+\s+)?(?:by|as)\s+)("[^"]*"|'[^']*'|\S+)/gi,
  /(\b(?:add_user|change_password)\s+\S+\s+)(\S+)/g,
  // .pgpass
  /^((?:localhost|\*|[\w-]*[g-z.][\w.-]*):(?:\d{4,5}|\*):[^:\s]+:[^:\s]+:)(\S+)$/g,
  // Made by services: AWS, GitHub, GitLab, Slack, Stripe, Google, SendGrid, npm, Hugging Face, DigitalOcean; JWT; age.
  /(\b(?:AKIA|ASIA))([A-Z0-9]{16})\b/g,
  /(\b(?:gh[pousr]_|github_pat_|glpat-|glrt-|xox[abeprs]-|[sr]k_(?:live|test)_|sk-|AIza|SG\.|npm_|hf_|dop_v1_|hvs\.|AGE-SECRET-KEY-1))([\w.-]{10,})/g,
  /(\beyJ)([\w-]{8,}\.[\w.-]{8,})/g,
  /(hooks\.slack\.com\/services\/|discord(?:app)?\.com\/api\/webhooks\/|hc-ping\.com\/)([^\s"']+)/g,
  // crypt(5), LDAP, MySQL; a key of WireGuard.
  /(\$(?:1|2[abxy]|5|6|7|y|gy|apr1|argon2\w*|sha1)\$)([^\s:"']+)/g,
  /(\{(?:SSHA|SHA|SMD5|MD5|CRYPT)\d*\})([^\s"']+)/gi,
  /((?<![A-Za-z0-9+/]))([A-Za-z0-9+/]{43}=)(?![A-Za-z0-9+/=])/g,
];

function shaped(pattern: RegExp): Hide {
  return (line) =>
    line.replace(pattern, (_all, before: string, _value: string, after: unknown) => {
      return `${before}${HIDDEN}${typeof after === 'string' ? after : ''}`;
    });
}

const HIDES: readonly Hide[] = [...SHAPES.map(shaped), ...NAMED.map(named), hideRest];

/** A line with its secrets hidden; other lines may say that it is one as a whole (`maskedLines`). */
export function masked(line: string): string {
  if (line.length > LINE_CHARS_MAX) return `(a line of ${line.length} characters)`;
  return HIDES.reduce((sofar, hide) => hide(sofar), line);
}

/** What is between these is a secret, but for what is public. */
const BLOCK_START =
  /-----BEGIN (?!CERTIFICATE|PUBLIC KEY|TRUSTED CERTIFICATE|X509 CRL|DH PARAMETERS)[\w ]+-----|^\s*<(?:key|tls-auth|tls-crypt(?:-v2)?|secret|pkcs12|auth-user-pass)>/;
const BLOCK_END = /-----END [\w ]+-----|^\s*<\/[\w-]+>/;
/** A text of several lines in YAML: what is further in belongs to it. */
const YAML_TEXT = /^(\s*)(?:-\s+)?["']?([\w.-]+)["']?\s*:\s*[|>][+-]?\d?\s*$/;

/** The lines of a file, each as it may be shown. As many as were given. */
export function maskedLines(lines: readonly string[]): readonly string[] {
  let isBlock = false;
  let indent = -1;
  return lines.map((line) => {
    if (isBlock) {
      isBlock = !BLOCK_END.test(line);
      return isBlock ? HIDDEN : line;
    }
    isBlock = BLOCK_START.test(line) && !BLOCK_END.test(line);
    const [blanks = ''] = /^\s*/.exec(line) ?? [];
    if (indent >= 0 && line.trim() !== '' && blanks.length <= indent) indent = -1;
    if (indent >= 0) return line.trim() === '' ? line : `${blanks}${HIDDEN}`;
    const text = YAML_TEXT.exec(line);
    if (text !== null && SECRET_NAME.test(text[2] ?? '')) indent = (text[1] ?? '').length;
    return isBlock ? line : masked(line);
  });
}
