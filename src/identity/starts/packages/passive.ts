// Most of what packages bring: nothing there is started, so nobody asks whose it is.

const SHARED =
  'doc man locale info i18n zoneinfo icons fonts perl perl5 python3 vim mime X11 common-licenses lintian bug ' +
  'bash-completion zsh ' +
  'terminfo consolefonts consoletrans keymaps help groff php javascript nodejs';
const FOLDERS = `usr/(include|src|lib(64)?/(python3|debug|modules)|share/(${SHARED.replaceAll(' ', '|')}))`;
const PASSIVE = new RegExp(`^/(${FOLDERS}|lib/modules|boot)(/|\\.|$)`);

export function isPassive(path: string): boolean {
  return PASSIVE.test(path);
}
