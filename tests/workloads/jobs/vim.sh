# vim -es: edit, write, backup and swap files.
printf 'one\ntwo\nthree\n' >f
vim -Nu NONE -es -c 'set backup writebackup' -c '%s/two/2/' -c 'normal Gofour' -c 'wq' f
echo "exit $?"
cat f
ls -A
vim -Nu NONE -es -c 'w !cat >other' -c 'r !echo from-shell' -c 'x' f
tail -n 1 f
cmp f other || echo differs
