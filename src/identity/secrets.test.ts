import { describe, expect, it } from 'vitest';
import { masked, maskedLines } from './secrets.ts';

const S = 'hunter2-S3cret';

describe('secrets - hidden in a line, by whatever way programs are given them', () => {
  it.each([
    `5 4 * * * root mysqldump -p${S} shop > /srv/dump.sql`,
    `5 4 * * * root mysql --password=${S} -e 'select 1'`,
    `5 4 * * * root mysql --password ${S}`,
    `0 3 * * * anna PGPASSWORD=${S} pg_dump shop`,
    `0 3 * * * sshpass -p ${S} ssh nas`,
    `0 3 * * * sshpass -p${S} ssh nas`,
    `curl -u anna:${S} https://api.example.org`,
    `curl --user anna:${S} https://api.example.org`,
    `curl -H "Authorization: Bearer ${S}" https://api.example.org`,
    `curl -H 'X-Api-Key: ${S}' https://api.example.org`,
    `curl https://api.example.org/v1?token=${S}&x=1`,
    `wget --http-password=${S} https://x`,
    `restic -r rest:https://anna:${S}@backup.example.org/web1 backup /`,
    `redis-cli -a ${S} save`,
    `ldapsearch -D cn=x -w ${S}`,
    `echo ${S} | sudo -S reboot`,
    `openssl enc -aes-256-cbc -pass pass:${S}`,
    `zip -P ${S} x.zip y`,
    `lftp -u anna,${S} ftp.example.org`,
    `smbclient -U anna%${S} //nas/x`,
    `sqlplus shop/${S}@db @x.sql`,
    `password=${S}`,
    `password = "${S}"`,
    `  "db_password": "${S}",`,
    `DB_PASSWORD: ${S}`,
    `define('DB_PASSWORD', '${S}');`,
    `$config['db_password'] = '${S}';`,
    `<password>${S}</password>`,
    `requirepass ${S}`,
    `auth_pass ${S}`,
    `rocommunity ${S} 10.0.0.0/8`,
    `machine api.example.org login anna password ${S}`,
    `//nas/x /mnt/x cifs username=anna,password=${S},uid=0 0 0`,
    `aws_secret_access_key = ${S}`,
    `CREATE USER 'a' IDENTIFIED BY '${S}';`,
    `db.shop:5432:shop:anna:${S}`,
    `wpa-psk ${S}`,
    `psk=${S}`,
    `PrivateKey = ${S}`,
    `SECRET_TOKEN=${S}`,
    `--api-token ${S}`,
    `anna:$6$salt$${S}`,
  ])('%s', (line) => {
    expect(masked(line)).not.toContain(S);
    expect(masked(line)).toContain('(secret)');
  });

  it.each([
    '    address 10.0.0.11/24',
    '# understudy: 17 * * * * root cd / && run-parts --report /etc/cron.hourly',
    '0 4 * * * root find /srv -type f -print0',
    '0 4 * * * root ps -p 17',
    'PermitRootLogin prohibit-password',
    'PasswordAuthentication no',
    'passwd:         files systemd',
    'passwordFile = /etc/restic/password',
    'UUID=3c5f6a52-7a0e-4f0c-8a53-0f5d7f1c9b11 / ext4 defaults 0 1',
    'ssh-ed25519 SHA256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ',
    'linux /vmlinuz root=/dev/sda2 ro quiet',
    '52:54:00:00:00:11',
    'fe80:1234:12ab:1234:12ab',
    'macaddress: 52:54:00:00:00:11',
    '0123456789abcdef0123456789abcdef',
  ])('and nothing is hidden in: %s', (line) => expect(masked(line)).toBe(line));
});

describe('secrets - of several lines', () => {
  it('a private key, a block of OpenVPN, a text of YAML: wherever in it one looks', () => {
    const lines = [
      'first: 1',
      '-----BEGIN OPENSSH PRIVATE KEY-----',
      'b3BlbnNzaC1rZXktdjEAAAAA',
      '-----END OPENSSH PRIVATE KEY-----',
      '<tls-crypt>',
      'aaaa',
      '</tls-crypt>',
      'admin:',
      '  password: |',
      '    two',
      '    lines',
      '  name: anna',
      '-----BEGIN CERTIFICATE-----',
      'MIIB',
      '-----END CERTIFICATE-----',
    ];
    expect(maskedLines(lines)).toEqual(
      lines.map((line) => {
        if (line.startsWith('b3B') || line === 'aaaa') return '(secret)';
        return ['two', 'lines'].includes(line.trim()) ? '    (secret)' : line;
      }),
    );
  });
});
