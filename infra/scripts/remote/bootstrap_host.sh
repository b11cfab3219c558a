#!/bin/bash
# Make a bare Debian or Ubuntu ready for the platform. Run as root from an unpacked folder that holds:
#
#   bootstrap_host.sh                    this program
#   platform_host.sh host_secrets.sh     those that stay on the host
#   values                               NAME=value lines: SSH_PORT, SWAP_MB, BALLAST_MB, SKIP
#   deploy_keys                          public keys that may deploy, one a line, beside those that may already
#   host.env                             the host's own names; needed the first time
#
# Each step says `ok` (was so already) or `changed`; a repeat says ok everywhere. Exit codes: 0 ready; 1 a step
# failed, and a repeat goes on from there; 64 usage; 70 refused before anything was changed.
set -Eeuo pipefail
umask 022
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

readonly HERE=${1:-} ROOT=/opt/platform ACCOUNT=platform-deploy SECRETS_GROUP=10001
readonly ENGINE_FLOOR=25.0 COMPOSE_FLOOR=2.24
# The key that signs Docker's own packages, for distributions whose Docker is too old.
readonly DOCKER_KEY=9DC858229FC7DD38854AE2D88D81803C0EBFCD88
readonly DOCKER_WAYS="Let this host out to it, install Docker $ENGINE_FLOOR and Compose $COMPOSE_FLOOR or newer yourself, or use Debian 13 or Ubuntu."
readonly KEYS=/etc/ssh/platform-deploy-keys SSH_CONFIG=/etc/ssh/sshd_config.d/10-platform.conf
readonly HOST_NAMES=(DOMAIN_HOOKS DOMAIN_PANEL DOMAIN_WINDMILL WINDMILL_ALLOWED ACME_EMAIL)
# pigz is Docker's own wish: it unpacks images in a process beside the engine's (the platform's in 12 s instead of 15).
readonly TOOLS=(age ca-certificates curl jq iptables iproute2 openssl pigz sudo tar util-linux)

CHANGED=0

value() { # value NAME DEFAULT
    local found
    found=$(sed -n "s/^$1=//p" "$HERE/values" | tail -n 1)
    printf '%s' "${found:-$2}"
}

ok() { printf 'ok       %s\n' "$*"; }

changed() {
    CHANGED=$((CHANGED + 1))
    printf 'changed  %s\n' "$*"
}

skipped() { printf 'skipped  %s\n' "$*"; }

refuse() {
    printf 'refused  %s\n' "$*" >&2
    exit 70
}

broke() {
    printf 'failed   %s\n' "$*" >&2
    exit 1
}

at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

asked_to_skip() { [[ " $(value SKIP '') " == *" $1 "* ]]; }

# put FILE MODE <content: says by its exit code whether the file was another one before.
put() {
    local staging
    mkdir -p "$(dirname "$1")"
    staging=$(mktemp "$1.XXXXXX")
    cat >"$staging"
    chmod "$2" "$staging"
    if cmp -s "$staging" "$1" && [ "$(stat -c %a "$1")" = "$(stat -c %a "$staging")" ]; then
        rm -f "$staging"
        return 1
    fi
    mv -f "$staging" "$1"
}

put_step() { # put_step WHAT FILE MODE <content
    if put "$2" "$3"; then changed "$1"; else ok "$1"; fi
}

has_systemd() { [ -d /run/systemd/system ]; }

# --- Before anything is changed ------------------------------------------------------------------------------

look() {
    [ -n "$HERE" ] && [ -f "$HERE/values" ] && [ -f "$HERE/platform_host.sh" ] && [ -f "$HERE/host_secrets.sh" ] && [ -s "$HERE/deploy_keys" ] ||
        { echo "say: bootstrap_host.sh FOLDER; the folder holds platform_host.sh, host_secrets.sh, values and deploy_keys" >&2 && exit 64; }
    [ "$(id -u)" = 0 ] || refuse "this needs root. Use an account that may sudo without a password, or root."
    [ -f /etc/os-release ] || refuse "this is no Debian or Ubuntu. Install one of them."
    # shellcheck source=/dev/null
    . /etc/os-release
    case ${ID:-}-${VERSION_ID:-} in
        debian-12 | debian-13 | ubuntu-22.04 | ubuntu-24.04 | ubuntu-26.04) ;;
        *) refuse "this is ${PRETTY_NAME:-unknown}. Use Debian 12 or 13, or Ubuntu 22.04 or newer (long-term)." ;;
    esac
    [ "$(uname -m)" = x86_64 ] || refuse "the processor is $(uname -m). Use a host with x86_64: images are built for no other."
    has_systemd || refuse "systemd does not run here. Use a whole host, not a container without it."
    look_at_values
    look_at_host_values
    look_for_docker
    local key
    grep -Evq '^[[:space:]]*(#|$)' "$HERE/deploy_keys" || refuse "deploy_keys holds no public key, and nobody could deploy. Give what stands in .pub files."
    while read -r key; do
        is_public_key "$key" || refuse "deploy_keys holds a line that is no public key: ${key:0:40}. Give what stands in .pub files."
    done < <(grep -Ev '^[[:space:]]*(#|$)' "$HERE/deploy_keys")
    # Passwords are switched off below: whoever came in by one would be locked out for ever.
    local admin=${SUDO_USER:-root} home
    home=$(getent passwd "$admin" | cut -d: -f6)
    [ -s "$home/.ssh/authorized_keys" ] ||
        refuse "$admin has no SSH key here, and passwords are switched off at the end. Add one: ssh-copy-id $admin@HOST"
}

is_public_key() { # without options before it: they would undo the program that each key is forced to
    [[ $1 =~ ^(ssh|ecdsa|sk)-[^\ \"]+\ [A-Za-z0-9+/=]+ ]] && ssh-keygen -l -f - >/dev/null 2>&1 <<<"$1"
}

look_at_values() {
    local name given word
    while IFS='=' read -r name given; do
        case $name in
            SSH_PORT) [[ $given =~ ^[1-9][0-9]{0,4}$ ]] && [ "$given" -le 65535 ] ||
                refuse "SSH_PORT is '$given' and no port. Say the one SSH listens on, such as --set SSH_PORT=22." ;;
            SWAP_MB | BALLAST_MB) [[ $given =~ ^[0-9]{1,6}$ ]] ||
                refuse "$name is '$given' and no number of megabytes. Say for example --set $name=2048; 0 is none." ;;
            SKIP) for word in $given; do
                [[ $word =~ ^(swap|time|upgrades)$ ]] || refuse "'$word' cannot be skipped. Say swap, time or upgrades."
            done ;;
            *) refuse "there is no value '$name'. There are SSH_PORT, SWAP_MB, BALLAST_MB and SKIP; names of the host are in host.env." ;;
        esac
    done <"$HERE/values"
}

look_at_host_values() { # those that come, else those that are here
    local file=$HERE/host.env name line
    local -a lacking=()
    [ -f "$file" ] || file=$ROOT/host.env
    [ -f "$file" ] || refuse "this host has no values yet, and none were given. Say --host-values FILE; it holds ${HOST_NAMES[*]}."
    line=$(grep -Evn "^[[:space:]]*(#.*)?\$|^[A-Z][A-Z0-9_]*=[^\`\$\"'\\\\[:cntrl:]]*\$" "$file" | head -n 1 || true)
    [ -z "$line" ] || refuse "line ${line%%:*} of the host's values is not NAME=value. Write plain values, without quotes or \$."
    for name in "${HOST_NAMES[@]}"; do
        grep -q "^$name=." "$file" || lacking+=("$name")
    done
    [ ${#lacking[@]} = 0 ] || refuse "the host's values lack ${lacking[*]}. docs/guides/new-vps.md says what each is."
}

look_for_docker() { # Debian 12's own engine is 20.10 and its Compose no v2: there it is Docker's packages or none
    [ "${ID:-}-${VERSION_ID:-}" = debian-12 ] || return 0
    docker_is_ready || timeout 10 bash -c '</dev/tcp/download.docker.com/443' 2>/dev/null ||
        refuse "$PRETTY_NAME has no Docker $ENGINE_FLOOR of its own, and https://download.docker.com does not answer. $DOCKER_WAYS"
}

# --- Steps ---------------------------------------------------------------------------------------------------

packages() {
    local name
    local -a missing=()
    for name in "$@"; do
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 1
    if [ -z "${INDEXED:-}" ]; then
        apt-get update --quiet=2 || broke "the package index cannot be read: see above"
        INDEXED=yes
    fi
    apt-get install --quiet=2 --yes --no-install-recommends "${missing[@]}" >/dev/null || broke "installing ${missing[*]}: see above"
}

step_packages() {
    if packages "${TOOLS[@]}"; then changed "packages: ${TOOLS[*]}"; else ok "packages"; fi
}

docker_is_ready() {
    local engine compose
    engine=$(docker version --format '{{.Server.Version}}' 2>/dev/null) || return 1
    compose=$(docker compose version --short 2>/dev/null) || return 1
    at_least "$engine" "$ENGINE_FLOOR" && at_least "${compose#v}" "$COMPOSE_FLOOR"
}

candidate() { # the version that a package would be installed in, without epoch
    apt-cache policy "$1" | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9.]*\).*/\2/p'
}

step_docker() {
    if docker_is_ready; then
        ok "docker $(docker version --format '{{.Server.Version}}'), compose $(docker compose version --short)"
        return
    fi
    [ -n "${INDEXED:-}" ] || { apt-get update --quiet=2 && INDEXED=yes; }
    local engine compose package
    engine=$(candidate docker.io)
    for package in docker-compose-v2 docker-compose; do # Ubuntu's name, Debian's name
        compose=$(candidate "$package")
        [ -z "$compose" ] || break
    done
    if [ -n "$engine" ] && [ -n "$compose" ] && at_least "$engine" "$ENGINE_FLOOR" && at_least "$compose" "$COMPOSE_FLOOR"; then
        local -a wanted=(docker.io "$package")
        [ -z "$(candidate docker-cli)" ] || wanted+=(docker-cli)
        packages "${wanted[@]}" || true
    else
        docker_repository
        packages docker-ce docker-ce-cli containerd.io docker-compose-plugin || true
    fi
    systemctl enable --now --quiet docker || broke "Docker does not start: journalctl -u docker"
    docker_is_ready || broke "Docker is installed and does not answer as it should: docker version; docker compose version"
    changed "docker $(docker version --format '{{.Server.Version}}'), compose $(docker compose version --short)"
}

docker_repository() { # Docker's own packages, by its key, which is known beforehand
    # shellcheck source=/dev/null
    . /etc/os-release
    packages gnupg || true
    local key=/etc/apt/keyrings/docker.asc found
    install -d -m 0755 /etc/apt/keyrings
    curl --fail --silent --show-error --location "https://download.docker.com/linux/$ID/gpg" --output "$key" ||
        broke "$PRETTY_NAME has no Docker $ENGINE_FLOOR of its own, and Docker's key cannot be had from https://download.docker.com. $DOCKER_WAYS"
    found=$(gpg --show-keys --with-colons "$key" 2>/dev/null | sed -n 's/^fpr:*\([0-9A-F]*\):$/\1/p' | head -n 1)
    [ "$found" = "$DOCKER_KEY" ] || { rm -f "$key" && broke "Docker's key is not the one that is known"; }
    put /etc/apt/sources.list.d/docker.list 0644 <<<"deb [arch=$(dpkg --print-architecture) signed-by=$key] https://download.docker.com/linux/$ID $VERSION_CODENAME stable" || true
    apt-get update --quiet=2
    INDEXED=yes
}

step_daemon() { # logs that cannot fill the disk, containers that survive the engine's own updates
    local file=/etc/docker/daemon.json wanted
    wanted='{
  "live-restore": true,
  "log-driver": "local",
  "log-opts": { "max-size": "20m", "max-file": "5" },
  "no-new-privileges": true
}'
    if [ -f "$file" ] && jq -e --argjson wanted "$wanted" '. as $is | ($is * $wanted) == $is' "$file" >/dev/null 2>&1; then
        ok "docker settings"
        return
    fi
    if [ -s "$file" ]; then # what somebody else set stays
        wanted=$(jq --argjson wanted "$wanted" '. * $wanted' "$file") || broke "$file is not JSON. Correct it."
    fi
    put "$file" 0644 <<<"$wanted" || true
    systemctl restart docker || broke "Docker does not start with $file: journalctl -u docker"
    changed "docker settings"
}

step_account() {
    if getent passwd "$ACCOUNT" >/dev/null; then
        ok "account $ACCOUNT"
    else
        useradd --system --create-home --home-dir "/var/lib/$ACCOUNT" --shell /bin/sh --comment 'deploys the platform' "$ACCOUNT"
        changed "account $ACCOUNT"
    fi
    if getent group "$SECRETS_GROUP" >/dev/null; then
        ok "group $SECRETS_GROUP"
    else
        groupadd --gid "$SECRETS_GROUP" platform-secrets
        changed "group $SECRETS_GROUP"
    fi
}

step_folders() {
    local line folder mode owner before=$CHANGED
    for line in ". 0755 0:0" "bin 0755 0:0" "releases 0755 0:0" "state 0755 0:0" "state/runs 0750 0:0" "proxy 0755 0:0" \
        "secrets 0750 0:$SECRETS_GROUP" "door 0700 10003:10003" "backups 0700 10002:10002" "bundles 0700 0:0"; do
        read -r folder mode owner <<<"$line"
        [ -d "$ROOT/$folder" ] && [ "$(stat -c '0%a %u:%g' "$ROOT/$folder")" = "$mode $owner" ] && continue
        install -d -m "$mode" "$ROOT/$folder"
        chown "$owner" "$ROOT/$folder"
        changed "folder $ROOT/${folder#.}"
    done
    [ "$CHANGED" != "$before" ] || ok "folders"
}

step_program() {
    local name
    for name in platform_host.sh host_secrets.sh; do
        put_step "program $ROOT/bin/$name" "$ROOT/bin/$name" 0755 <"$HERE/$name"
    done
    if [ -f "$HERE/host.env" ]; then
        put_step "values $ROOT/host.env" "$ROOT/host.env" 0644 <"$HERE/host.env"
    else
        ok "values $ROOT/host.env"
    fi
    put_step "resume at boot" /etc/systemd/system/platform-resume.service 0644 <<UNIT
[Unit]
Description=End a deploy that a crash left half done
After=docker.service network-online.target
Requires=docker.service
ConditionPathExists=|$ROOT/state/deploying.json
ConditionPathExists=|$ROOT/state/restoring.json

[Service]
Type=oneshot
ExecStart=/bin/bash $ROOT/bin/platform_host.sh resume --by boot

[Install]
WantedBy=multi-user.target
UNIT
    systemctl daemon-reload
    systemctl enable --quiet platform-resume.service
}

keys_now() { # the list as it will be: who is let in stays in and in place, for `keys remove` is what shuts out
    local line forced
    forced="restrict,command=\"/usr/bin/sudo -n $ROOT/bin/platform_host.sh gate \\\"\$SSH_ORIGINAL_COMMAND\\\"\""
    {
        [ ! -f "$KEYS" ] || sed -nE 's/^(.*"[[:space:]]+)?((ssh|ecdsa|sk)-[^ "]+ [A-Za-z0-9+/=]+.*)$/\2/p' "$KEYS"
        grep -Ev '^[[:space:]]*(#|$)' "$HERE/deploy_keys"
    } | awk '!seen[$2]++' | while read -r line; do printf '%s %s\n' "$forced" "$line"; done
}

step_ssh() { # keys only; the deploy key opens no shell: whatever it says goes to the program, as one word
    local more is=ok
    put_step "deploy keys" "$KEYS" 0644 < <(keys_now)
    more=$(($(wc -l <"$KEYS") - $(grep -Ev '^[[:space:]]*(#|$)' "$HERE/deploy_keys" | awk '!seen[$2]++' | wc -l)))
    [ "$more" = 0 ] || ok "deploy keys let in before stay: $more. To shut one out: platform_host.sh keys remove <KEY.pub"
    put_step "sudo for the deploy key" /etc/sudoers.d/platform-deploy 0440 \
        <<<"$ACCOUNT ALL=(root) NOPASSWD: $ROOT/bin/platform_host.sh gate *"
    visudo --check --quiet --file /etc/sudoers.d/platform-deploy || { rm -f /etc/sudoers.d/platform-deploy && broke "sudo refuses its file"; }
    if put "$SSH_CONFIG" 0644 <<CONFIG; then is=changed; fi
# Keys only, and for the deploy key one program.
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
X11Forwarding no
Match User $ACCOUNT
    AuthorizedKeysFile $KEYS
    AllowTcpForwarding no
    PermitTTY no
# So that what stands after this file is not taken for the deploy account's alone.
Match all
CONFIG
    mkdir -p /run/sshd
    sshd -t || { rm -f "$SSH_CONFIG" && broke "sshd refuses its file"; }
    # Each time: an sshd_config that somebody mended because of the lines below is not read before.
    systemctl reload-or-restart ssh 2>/dev/null || systemctl reload-or-restart sshd || broke "ssh does not take its settings: journalctl -u ssh"
    require_keys_only
    $is "ssh: keys only, forced command"
}

sshd_says() { # sshd_says [USER]: its settings as it understood them, for that user from outside
    mkdir -p /run/sshd
    if [ $# = 0 ]; then sshd -T; else sshd -T -C "user=$1,host=outside.invalid,addr=192.0.2.1,laddr=127.0.0.1,lport=$(value SSH_PORT 22)"; fi
}

# What sshd does, and not what a file of ours says: a setting that is read earlier wins, and an sshd_config without
# its Include reads no other file at all.
require_keys_only() {
    local user said word place
    for user in root "${SUDO_USER:-root}" "$ACCOUNT"; do
        said=$(sshd_says "$user" 2>&1) || broke "sshd does not tell how it is set, so nobody knows whether passwords are off: $(tail -n 1 <<<"$said")"
        for word in passwordauthentication kbdinteractiveauthentication; do
            grep -qx "$word no" <<<"$said" && continue
            place=$(grep -EHin "^[[:space:]]*${word}[[:space:]=]" /etc/ssh/sshd_config "$(dirname "$SSH_CONFIG")"/*.conf | grep -vF "$SSH_CONFIG:" | head -n 1 | cut -d: -f1,2) || place=
            broke "ssh still lets $user in by a password ($word${place:+, $place}). Let the first line of /etc/ssh/sshd_config be 'Include /etc/ssh/sshd_config.d/*.conf' and take the other setting out; then say this again"
        done
    done
    grep -qx "authorizedkeysfile $KEYS" <<<"$said" ||
        broke "the deploy key is looked for in '$(sed -n 's/^authorizedkeysfile //p' <<<"$said")' and not in $KEYS. Take out what sets AuthorizedKeysFile for $ACCOUNT in /etc/ssh, then say this again"
}

ssh_ports() { # where SSH listens, one a line: as it was entered, and as it says itself where it can
    {
        value SSH_PORT 22
        echo
        sshd_says 2>/dev/null | sed -nE 's/^port ([0-9]+)$/\1/p; s/^listenaddress .*:([0-9]+)$/\1/p' || true
    } | sort -nu
}

# Docker's published ports pass by INPUT, so DOCKER-USER has the same rules for what comes from outside.
step_firewall() {
    local ports unit=/etc/systemd/system/platform-firewall.service before=$CHANGED
    ports=$(ssh_ports | tr '\n' ' ')
    if put "$ROOT/bin/platform_firewall.sh" 0755 <<FIREWALL; then
#!/bin/sh
# Let in SSH, HTTP and HTTPS, and what belongs to a conversation begun here; nothing else from outside. Containers reach
# neither this host nor what a hoster tells it about itself: there run jobs that strangers' data goes through.
set -eu
outside=\$(ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
[ -n "\$outside" ] || exit 1

jump() { # jump TOOL FROM WORDS...: the rule that leads there, when it is missing; one that is there, iptables 1.8.7 tells
    tool=\$1 from=\$2
    shift 2
    \$tool --wait -C "\$from" "\$@" >/dev/null 2>&1 || echo "-I \$from \$*"
}

rules() { # rules TOOL: whole chains, which take the place of those that are there in one step
    ping=icmp own=169.254.0.0/16
    [ "\$1" = iptables ] || { ping=ipv6-icmp && own=fd00:ec2::254/128; }
    echo '*filter'
    printf ':%s - [0:0]\n' PLATFORM-IN PLATFORM-JOBS DOCKER-USER
    echo "-A PLATFORM-IN -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    echo "-A PLATFORM-IN -p \$ping -j RETURN"
    for port in ${ports% }; do echo "-A PLATFORM-IN -p tcp --dport \$port -j RETURN"; done
    echo "-A PLATFORM-IN -p tcp -m multiport --dports 80,443 -j RETURN"
    echo "-A PLATFORM-IN -p udp --dport 443 -j RETURN"
    echo "-A PLATFORM-IN -p udp --dport 546 -j RETURN"
    echo "-A PLATFORM-IN -j DROP"
    echo "-A PLATFORM-JOBS -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    echo "-A PLATFORM-JOBS -j DROP"
    # Some hosters answer names at that address too.
    echo "-A DOCKER-USER -d \$own -p udp --dport 53 -j RETURN"
    echo "-A DOCKER-USER -d \$own -p tcp --dport 53 -j RETURN"
    echo "-A DOCKER-USER -d \$own -j DROP"
    echo "-A DOCKER-USER -i \$outside -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"
    echo "-A DOCKER-USER -i \$outside -p tcp -m conntrack --ctorigdstport 80 -j RETURN"
    echo "-A DOCKER-USER -i \$outside -p tcp -m conntrack --ctorigdstport 443 -j RETURN"
    echo "-A DOCKER-USER -i \$outside -p udp -m conntrack --ctorigdstport 443 -j RETURN"
    echo "-A DOCKER-USER -i \$outside -j DROP"
    echo "-A DOCKER-USER -j RETURN"
    jump "\$1" INPUT -i "\$outside" -j PLATFORM-IN
    for bridge in docker0 br-+; do jump "\$1" INPUT -i \$bridge -j PLATFORM-JOBS; done
    jump "\$1" FORWARD -j DOCKER-USER
    echo COMMIT
}

# Docker leaves DOCKER-USER as it finds it. What cannot be taken as a whole leaves the rules before in force. All is
# looked up before: the older kind of iptables holds its lock from the first line it is given.
for tool in iptables ip6tables; do
    \$tool --wait --numeric --list INPUT >/dev/null 2>&1 || continue
    wanted=\$(rules \$tool)
    echo "\$wanted" | \$tool-restore --noflush --wait
done
FIREWALL
        changed "firewall rules"
    fi
    if put $unit 0644 <<UNIT; then
[Unit]
Description=Let in SSH, HTTP and HTTPS, and nothing else
After=network-online.target docker.service
Wants=network-online.target
PartOf=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=$ROOT/bin/platform_firewall.sh

[Install]
WantedBy=multi-user.target docker.service
UNIT
        systemctl daemon-reload
        changed "firewall at boot"
    fi
    systemctl is-enabled --quiet platform-firewall.service || systemctl enable --quiet platform-firewall.service
    if [ "$CHANGED" != "$before" ] || ! iptables --wait -C DOCKER-USER -j RETURN >/dev/null 2>&1 || ! iptables --wait -L PLATFORM-IN >/dev/null 2>&1; then
        systemctl restart platform-firewall.service || broke "the firewall cannot be set: journalctl -u platform-firewall"
        [ "$CHANGED" != "$before" ] || changed "firewall set again"
    else
        ok "firewall: ${ports% }, 80, 443"
    fi
}

step_upgrades() {
    if asked_to_skip upgrades; then skipped "unattended upgrades, as asked" && return; fi
    local before=$CHANGED
    if packages unattended-upgrades; then changed "unattended-upgrades"; fi
    if put /etc/apt/apt.conf.d/20auto-upgrades 0644 <<'CONFIG'; then changed "upgrades every day"; fi
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
APT::Periodic::AutocleanInterval "7";
CONFIG
    # Security only, and no reboot by itself: on-call chooses the hour (ops/runbooks).
    if put /etc/apt/apt.conf.d/52platform 0644 <<'CONFIG'; then changed "upgrades never reboot by themselves"; fi
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Remove-Unused-Kernel-Packages "true";
CONFIG
    [ "$CHANGED" != "$before" ] || ok "unattended upgrades"
}

step_swap() {
    local size
    size=$(value SWAP_MB 2048)
    if asked_to_skip swap || [ "$size" = 0 ]; then skipped "swap, as asked" && return; fi
    if [ "$(wc -l </proc/swaps)" -gt 1 ]; then ok "swap" && return; fi
    fallocate -l "${size}M" /swapfile || { rm -f /swapfile && broke "there is no room for $size MB of swap: free some, or say --set SWAP_MB=SIZE"; }
    chmod 0600 /swapfile
    mkswap --quiet /swapfile 2>/dev/null || mkswap /swapfile >/dev/null
    swapon /swapfile || { rm -f /swapfile && broke "swap cannot be switched on here; say SKIP=swap if the host has none"; }
    grep -q '^/swapfile ' /etc/fstab || printf '/swapfile none swap sw 0 0\n' >>/etc/fstab
    put /etc/sysctl.d/60-platform.conf 0644 <<<'vm.swappiness = 10' && sysctl --quiet --load /etc/sysctl.d/60-platform.conf
    changed "swap, $size MB"
}

step_time() {
    if asked_to_skip time; then skipped "time, as asked" && return; fi
    local before=$CHANGED
    if [ "$(timedatectl show --property NTP --value 2>/dev/null)" = yes ] || systemctl is-active --quiet chrony; then
        ok "clock kept by $(systemctl is-active --quiet chrony && echo chrony || echo timesyncd)"
    else
        packages chrony || true
        systemctl enable --now --quiet chrony || broke "the clock cannot be kept: journalctl -u chrony"
        changed "clock kept by chrony"
    fi
    if [ "$(readlink /etc/localtime)" != /usr/share/zoneinfo/Etc/UTC ] && [ "$(date +%Z)" != UTC ]; then
        timedatectl set-timezone Etc/UTC
        changed "time zone UTC"
    fi
    [ "$CHANGED" = "$before" ] || return 0
}

step_namespaces() { # jobs run in namespaces of their own; Ubuntu forbids that to who has no AppArmor profile for it
    local switch=kernel.apparmor_restrict_unprivileged_userns
    if [ "$(sysctl --values $switch 2>/dev/null || echo 0)" = 0 ] && [ "$(sysctl --values user.max_user_namespaces)" != 0 ]; then
        ok "namespaces for jobs"
        return
    fi
    { # only what this kernel has: sysctl fails as a whole on a name that it does not know
        ! sysctl --values $switch >/dev/null 2>&1 || echo "$switch = 0"
        echo 'user.max_user_namespaces = 65536'
    } | put /etc/sysctl.d/61-platform-namespaces.conf 0644 || true
    sysctl --quiet --load /etc/sysctl.d/61-platform-namespaces.conf || broke "namespaces cannot be allowed here, and jobs must have them"
    changed "namespaces for jobs"
}

step_ballast() { # space to give away when the disk is full and PostgreSQL cannot start
    local size
    size=$(value BALLAST_MB 1024)
    if [ "$size" = 0 ]; then skipped "ballast, as asked" && return; fi
    if [ -f "$ROOT/ballast" ]; then ok "ballast" && return; fi
    # Half of it would be taken for all of it the next time.
    fallocate -l "${size}M" "$ROOT/ballast" || { rm -f "$ROOT/ballast" && broke "there is no room for a ballast of $size MB: free some, or say --set BALLAST_MB=SIZE"; }
    chmod 0600 "$ROOT/ballast"
    changed "ballast, $size MB"
}

main() {
    look
    step_packages
    step_docker
    step_daemon
    step_account
    step_folders
    step_program
    step_firewall
    step_upgrades
    step_swap
    step_time
    step_namespaces
    step_ballast
    step_ssh # last: when it is set, everything that it leads to is there
    printf 'ready: %s changed\n' "$CHANGED"
}

main
