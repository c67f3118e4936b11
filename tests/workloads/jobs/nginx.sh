# nginx with workers: pages, a proxy to itself, a reload under requests, a clean stop.
mkdir www t && echo page >www/index.html && seq 100000 >www/big
cat >conf <<END
pid $PWD/pid; worker_processes 2; error_log $PWD/err;
events { worker_connections 256; }
http {
	access_log $PWD/access; client_body_temp_path $PWD/t/b; proxy_temp_path $PWD/t/p;
	fastcgi_temp_path $PWD/t/f; uwsgi_temp_path $PWD/t/u; scgi_temp_path $PWD/t/s;
	server {
		listen unix:$PWD/s; root $PWD/www;
		location /via/ { proxy_pass http://unix:$PWD/s:/; }
	}
}
END
[ "$(id -u)" != 0 ] || sed -i '1i user root;' conf
nginx() { /usr/sbin/nginx -c "$PWD/conf" -e "$PWD/err" "$@"; }
get() { curl -s --unix-socket s "http://here$1" "${@:2}"; }
nginx
echo "start $?"
get /
get /via/
get /big | md5sum
for _ in $(seq 20); do get /via/big -o /dev/null -w '%{http_code}\n' & done | sort | uniq -c
nginx -s reload
echo "reload $?"
get /
pid=$(cat pid)
nginx -s quit
echo "quit $?"
until [ ! -e pid ] && [ ! -e "/proc/$pid" ]; do sleep 0.1; done
ls
grep -cE 'alert|emerg|crit' err
true
