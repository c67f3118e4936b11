# tmux: a server, a pane, keys, what is on the screen.
export TERM=screen
s=$PWD/sock
tmux -S "$s" -f /dev/null new-session -d -x 60 -y 10 'sh -c "PS1=\\$ exec sh -i"'
for _ in $(seq 600); do
	tmux -S "$s" capture-pane -p 2>/dev/null | grep -q '\$' && break
	sleep 0.1
done
tmux -S "$s" send-keys 'echo $((6*7)) && tty >/dev/null && echo has-tty' Enter
for _ in $(seq 600); do
	tmux -S "$s" capture-pane -p | grep -q '^has-tty' && break
	sleep 0.1
done
tmux -S "$s" capture-pane -p | grep -E '^(42|has-tty)'
tmux -S "$s" list-sessions -F '#{session_windows}'
tmux -S "$s" kill-server
echo "exit $?"
