#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# nginx.sh DIR ROOT CERT KEY HTTP_PORT HTTPS_PORT: nginx for an ordinary user, in the foreground, with two
# workers: files of ROOT by HTTP and HTTPS (HTTP/2), both families; /proxy/ asks the other of its servers.
set -e
dir=$1 root=$2
mkdir -p "$dir"
cat >"$dir/nginx.conf" <<E2
daemon off;
worker_processes 2;
pid $dir/pid;
error_log stderr notice;
events { worker_connections 256; }
http {
    access_log $dir/access.log;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    sendfile on;
    tcp_nopush on;
    send_timeout 600; # an emulated machine with thirty downloads at once
    proxy_read_timeout 600;
    types { text/html html; application/json json; }
    add_header Access-Control-Allow-Origin *;
    index index.html index.json;
    server {
        listen $5;
        listen [::]:$5;
        listen $6 ssl http2;
        listen [::]:$6 ssl http2;
        ssl_certificate $3;
        ssl_certificate_key $4;
        root $root;
        location /proxy/ { proxy_pass http://127.0.0.1:$5/; }
    }
}
E2
exec nginx -p "$dir" -c "$dir/nginx.conf" -e stderr
