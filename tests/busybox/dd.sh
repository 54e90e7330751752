seq 100 >in
dd if=in of=out 2>err; cmp in out && grep -v copied <err
dd if=/dev/zero of=z bs=1k count=3 2>&1 | grep -v copied; wc -c <z
dd if=/dev/zero of=big bs=1M count=4 2>&1 | grep -v copied; wc -c <big
dd if=in bs=10 skip=2 count=3 2>/dev/null; echo
dd if=in bs=4 count=2 status=none | od -c | head -n 2
echo abcdef >f; echo XY | dd of=f bs=1 seek=2 count=2 conv=notrunc 2>/dev/null; cat f
echo abcdef >f; echo XY | dd of=f bs=1 seek=2 2>/dev/null; cat f
printf abc | dd bs=2 conv=sync 2>err | od -c; grep -v copied <err
seq 5 | dd ibs=3 obs=4 2>&1 >/dev/null | grep -v copied
printf 0123456789 >d; dd if=d bs=4 iflag=skip_bytes skip=3 2>/dev/null; echo
dd if=d bs=3 count=0 status=noxfer
dd if=nosuch; echo $?
dd bs=0 </dev/null; echo $?
dd bs=x </dev/null 2>&1; echo $?
dd if=/dev/zero bs=1M count=2 2>/dev/null | wc -c
dd if=/dev/zero bs=512 2>/dev/null | head -c 1000 | wc -c
