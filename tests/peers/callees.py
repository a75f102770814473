"""Who is in the world: what its Asterisk does with callers and callees, and the pbx's ways to more places."""

from dialplan.names import ENDPOINT_SIP

CALLERS = """
[caller]
exten => answered,1,UserEvent(Answered,Rtp: ${CHANNEL(rtp,src)})
 same => n,Wait(7200)
exten => says,1,Playback(${SAYS})
 same => n,Wait(7200)

[callees]
"""
CALLEES = """
exten => _[+0-9]!,1,Answer()
 same => n,Wait(7200)
exten => _+141555504XX,1,Hangup(1)
exten => _+141555517XX,1,Hangup(17)
exten => _+141555519XX,1,Ringing()
 same => n,Wait(7200)
exten => _+141555521XX,1,Hangup(21)
exten => _+141555534XX,1,Hangup(34)
exten => _+141555560XX,1,Ringing()
 same => n,Wait(0.3)
 same => n,Answer()
 same => n,Wait(1)
 same => n,Hangup(16)
exten => _+141555561XX,1,Answer()
 same => n,Playback(hello-world)
 same => n,Wait(7200)
exten => _+141555562XX,1,Ringing()
 same => n,Wait(0.3)
 same => n,Answer()
 same => n,Read(PRESSED,,4,,1,20)
 same => n,UserEvent(Pressed,Keys: ${PRESSED},Number: ${EXTEN})
 same => n,Wait(7200)
exten => _+141555563XX,1,Answer()
 same => n,Wait(2)
 same => n,SendDTMF(1)
 same => n,Wait(7200)
exten => _+141555564XX,1,Ringing()
 same => n,Wait(2)
 same => n,Answer()
 same => n,Wait(7200)
exten => _+141555565XX,1,Ringing()
 same => n,Wait(0.5)
 same => n,Answer()
 same => n,UserEvent(Reached,Number: ${EXTEN},Caller: ${CALLERID(num)},Rtp: ${CHANNEL(rtp,src)})
 same => n,Playback(hello-world)
 same => n,Wait(7200)
"""
"""What becomes of calls from the pbx, unless a test says otherwise, by the number they are for.

They are answered, with silence. Of the numbers +1415555nnxx: 04 does not exist, 17 is busy, 19 rings for
ever, 21 refuses, 34 is congested, 60 rings and hangs up a second after it has answered, 61 says a word, 62
rings, answers and tells what keys it hears (UserEvent `Pressed`), 63 presses 1 after two seconds,
64 rings for two seconds, 65 rings, answers, tells who calls and where it listens (UserEvent `Reached`), and
says a word.
"""

# Nobody listens on the discard port.
ENDPOINTS = f"""
[{ENDPOINT_SIP}]
type = endpoint
identify_by = ip
context = trunx-inbound
disallow = all
allow = ulaw
direct_media = no
media_address = 127.0.0.1
bind_rtp_to_media_address = yes
send_pai = yes
[mute]
type = endpoint
context = trunx-inbound
disallow = all
allow = ulaw
aors = mute
[mute]
type = aor
contact = sip:127.0.0.1:9
[dead]
type = endpoint
context = trunx-inbound
disallow = all
allow = ulaw
aors = dead
[dead]
type = aor
contact = sip:127.0.0.1:9
qualify_frequency = 1
qualify_timeout = 0.5
"""
"""Endpoints of the pbx: the way to SIP URIs, and two with nobody behind them."""
