# A perl module: Makefile.PL, make, tests, an installation into a directory.
set -e
mkdir -p m/lib/My m/t && cd m
echo 'package My::Mod; our $VERSION = "1.0"; sub twice { 2 * $_[0] } 1;' >lib/My/Mod.pm
echo 'use ExtUtils::MakeMaker; WriteMakefile(NAME => "My::Mod", VERSION_FROM => "lib/My/Mod.pm");' >Makefile.PL
printf 'use strict; use Test::More tests => 3; use_ok("My::Mod"); is(My::Mod::twice(4), 8); my $p = fork; exit 3 unless $p; waitpid $p, 0; is($? >> 8, 3);\n' >t/a.t
perl Makefile.PL PREFIX="$PWD/../inst" LIB="$PWD/../inst/lib" | tail -n 1
make >/dev/null && make test 2>&1 | grep -E '^(Result|All tests)'
make install >/dev/null 2>&1 && PERL5LIB=../inst/lib perl -MMy::Mod -e 'print My::Mod::twice(21), "\n"'
perl -e 'use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die; my $p = fork; if (!$p) { my $c = IO::Socket::INET->new("127.0.0.1:" . $s->sockport); print $c "over\n"; exit } my $c = $s->accept; print scalar <$c>; waitpid $p, 0'
perl -e 'open my $f, "+>", undef or die; print $f "t"; seek $f, 0, 0; print <$f>, "\n"; flock $f, 2; print -s $f, "\n"'
