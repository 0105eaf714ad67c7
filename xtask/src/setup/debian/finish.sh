#!/bin/sh
# What the tests' Debian has beside its packages. Run by mmdebstrap, with the folder that is its root.
set -eu
cd "$1"

echo agent >etc/hostname
echo '/dev/vda / ext4 defaults 0 1' >etc/fstab
# The name server of an agent's network.
echo 'nameserver 10.0.2.3' >etc/resolv.conf
cat >etc/systemd/network/card.network <<'END'
[Match]
Name=e*

[Network]
DHCP=ipv4
END

# A screen that may be reached from outside, without OpenGL: its libraries were left out.
cat >etc/systemd/system/xvnc.service <<'END'
[Unit]
Description=A screen

[Service]
ExecStart=Xvnc :1 -SecurityTypes None -geometry 640x480 -depth 24 -extension GLX
Restart=always

[Install]
WantedBy=multi-user.target
END

# A terminal that fills it, and has its keys: there is no window manager. It is begun again until the screen is there, and says
# on the console that it can be typed at.
cat >etc/systemd/system/terminal.service <<'END'
[Unit]
Description=A terminal on the screen
After=xvnc.service
StartLimitIntervalSec=0

[Service]
Environment=DISPLAY=:1 HOME=/root
WorkingDirectory=/root
ExecStart=xterm -geometry 120x40+0+0 -e sh -c 'echo a terminal is there >/dev/console; exec bash'
Restart=always
RestartSec=300ms

[Install]
WantedBy=multi-user.target
END

chroot . systemctl --quiet enable systemd-networkd xvnc terminal
# Nothing that only costs a translated machine time: no modules are there to be loaded, no updates are wanted.
chroot . systemctl --quiet mask timers.target modprobe@.service
