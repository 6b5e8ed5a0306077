<?php
$conf['title'] = 'Workshop Handbook';
$conf['lang'] = 'en';
$conf['license'] = '0';
$conf['useacl'] = 1;
$conf['superuser'] = '@admin';
$conf['disableactions'] = 'register,resendpwd';
$conf['updatecheck'] = 0;
$conf['plugin']['popularity']['disabled'] = 1;
