# Pipelines, background commands, signals and statuses.
sleep 0.01 & wait $!; echo waited $?
(exit 3) & wait $!; echo $?
sh -c 'kill -9 $$'; echo $?
sh -c 'kill -TERM $$; echo not reached'; echo $?
sh -c 'exit 300'; echo $?
sleep 100 & kill $!; wait $!; echo $?
echo a | cat | cat | cat; false | true; echo $?; true | false; echo $?
yes() { while echo y; do :; done; }; yes | head -n 2; echo $?
i=0; while [ $i -lt 20 ]; do i=$((i + 1)); true & done; wait; echo all gone
i=0; while [ $i -lt 50 ]; do i=$((i + 1)); echo $i | cat > /dev/null || echo failed; done; echo piped
x=$(sh -c 'echo inner; exit 5'); echo $? $x
sh -c 'echo $0 $1' zero one
echo 'echo from stdin; exit 4' | sh; echo $?
( sleep 0.05; echo late ) & echo early; wait
exec sh -c 'echo replaced; exit 9'
