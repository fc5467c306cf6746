# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# ssh_keys DIR: keys and configurations of a server and a client, for an ordinary user.
ssh_keys() {
    local d=$1
    mkdir -p "$d"
    ssh-keygen -q -t ed25519 -N '' -f "$d/host"
    ssh-keygen -q -t ed25519 -N '' -f "$d/id"
    cp "$d/id.pub" "$d/authorized"
    cat >"$d/sshd_config" <<E2
HostKey $d/host
AuthorizedKeysFile $d/authorized
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
Subsystem sftp internal-sftp
E2
    cat >"$d/ssh_config" <<E2
Host *
    IdentityFile $d/id
    IdentitiesOnly yes
    UserKnownHostsFile $d/known
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking accept-new
    BatchMode yes
E2
}
