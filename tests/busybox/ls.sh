mkdir d; touch d/b d/a d/.h; ls d; ls -a d; ls -A d; ls -1 d; ls -r d; ls -d d; ls -F . ; ls -p d .
ls none; echo $?; ln -s d l; ls l; ls -C d; mkdir d/e; touch d/e/f; ls -R d
printf 12345 > big; touch small; ls -S big small; touch -d 2001-02-03 old; ls -t old small
ls -l big | sed 's/  */ /g' | cut -d' ' -f1,2,5,9; ls -ld d | cut -c1; ls -lh big | grep -c 5
