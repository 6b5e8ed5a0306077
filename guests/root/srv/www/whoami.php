<?php
// Who this machine is, as it knows it itself.
header('Content-Type: application/json');
echo json_encode([
    'hostName' => gethostname(),
    'address' => $_SERVER['SERVER_ADDR'],
    'machineId' => trim(file_get_contents('/etc/machine-id')),
]), "\n";
