"""What people say to an assistant that is not about simple shapes."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

GREETING: Final = Intent(
    "outside.greeting",
    [
        "(hi|hello|hey|good morning|good evening|good afternoon|greetings|howdy|hiya) (there|assistant|friend|my friend|buddy|)",
        "(hi|hello|hey)(, how are you| how is it going| nice to meet you|)",
        "how (are you|is it going|do you do)",
        "(nice|good|great) to (meet|see) you",
        "what's up",
    ],
)
THANKS: Final = Intent(
    "outside.thanks",
    [
        "(thanks|thank you|many thanks|thx|cheers) (a lot|so much|very much|for that|for your help|)",
        "(great|perfect|wonderful|nice|awesome|well done|good job|lovely), (thanks|thank you|thx)",
        "(that is|that's|this is) (great|perfect|lovely|nice|very nice|wonderful|good)",
        "i (appreciate it|love it|like it)",
        "(great|perfect|wonderful|awesome|well done|good job|good work|nicely done|excellent|amazing)",
    ],
)
GOODBYE: Final = Intent(
    "outside.goodbye",
    [
        "(bye|goodbye|bye bye|see you|see you later|farewell|good night|so long) (then|for now|my friend|)",
        "(have a nice day|take care|until next time|that's all|that is all for today|i have to go|i am done)",
    ],
)
ABILITIES: Final = Intent(
    "outside.abilities",
    [
        "what (can|do) you do",
        "what (can you do|do you know|can i ask you|should i ask you|can i do with you) (for me|here|)",
        "(how can you|can you) help me",
        "help (me|)",
        "(what are your|tell me your|list your) (abilities|features|skills|functions|capabilities)",
        "how (do you work|does this work|do i use you|does it work)",
        "what are you (able to do|good at|made for|for)",
        "(who|what) are you",
        "(tell me about|introduce) yourself",
        "what (is|are) your (name|purpose|limits)",
        "(are you|is this) (an ai|a robot|a bot|a program|a model)",
    ],
)
DRAW: Final = Intent(
    "outside.draw",
    [
        "(draw|paint|make|create|generate|sketch|render|design|show) (me|) {things}",
        "please (draw|paint|make|create|generate|sketch|show me) {things}",
        "(can|could|would|will) you (please|) (draw|paint|make|create|generate|sketch|show me) {things}",
        "(draw|make|create|generate|paint) (a|one) (new|) {picture} (of|with|showing) {things}",
        "(i want|i need|i would like|i'd like|give me) {things}",
        "(i want|i would like|i'd like) (to see|you to draw|you to make|you to paint) {things}",
        "(a|) {picture} (of|with) {things}",
        "{things}",
        "{things}, please",
        "(how about|imagine|what about) {things}",
        "there should be {things} in the {picture}",
        "(may|can) i (have|get|see) {things}",
    ],
)
WRITE: Final = Intent(
    "outside.write",
    [
        "write (the word|the text|the name|the letter|) {word} (in the {picture}|on it|with big letters|)",
        "(draw|paint|add|put) the (word|text|letters) {word} (on it|in the {picture}|at the top|)",
        "write (me|) a (poem|story|song|letter|joke|program|python function|essay|recipe) (about {thing}|)",
        "tell me a (joke|story|riddle|secret|fairy tale) (about {thing}|)",
        "sing (me|) a song (about {thing}|)",
    ],
)
CHANGE: Final = Intent(
    "outside.change",
    [
        "(turn|change|make|transform) {the} into {thing}",
        "(replace|swap|exchange) {the} (with|by|for) {thing}",
        "(add|put|place|insert|draw) {thing} (in|to|into|on) (it|the {picture}|{the})",
        "(add|put|place|insert|draw) {thing} (next to|above|below|beside|on top of) {the}",
        "(give|put on) {the} {thing}",
        "make {the} look like {thing}",
        "make {the} {color}",
        "(paint|color|colour|recolor|turn) {the} {color}",
        "(make|change|turn) the background (to|into|) {color}",
        "(can|could) you (please|) (add|put|draw) {thing} (to it|in it|there|here)",
        "(remove|erase|delete|get rid of) the {foreign}",
        "make the {foreign} (larger|smaller|red|blue|green)",
        "put {the} (on|in|under|inside) {thing}",
    ],
)
STYLE: Final = Intent(
    "outside.style",
    [
        "(blur|rotate|flip|crop|sharpen|tilt|stretch|mirror|zoom|invert|animate|print|save|upload|email) (it|the {picture}|{the})",
        "make (it|the {picture}) (photorealistic|realistic|3d|brighter|darker|blurry|transparent|black and white|vintage|scary|pretty|more beautiful)",
        "(add|draw|give it) (a shadow|an outline|a border|a frame|a texture|a pattern|some glitter|a gradient) (to it|to {the}|)",
        "(make|turn) (it|the {picture}) into (a photo|a cartoon|an oil painting|a watercolor|a sketch|a movie|an animation)",
        "(fill|cover) (it|{the}) with (stripes|dots|a pattern|flowers|hearts)",
        "(connect|link) the shapes with (a line|lines|arrows)",
        "rotate {the} by (45|90|30|180) degrees",
    ],
)
QUESTION: Final = Intent(
    "outside.question",
    [
        "(what is|what's|how is|how will be) the (weather|temperature|forecast) (today|tomorrow|in {city}|)",
        "(who is|who was) the (president|king|queen|mayor|prime minister|inventor) of (the {foreign}|{city}|france|germany)",
        "(what is|what's|how much is) {number} (plus|times|minus|divided by) {number}",
        "(what|which) (time|day|date|year|month) is it (now|today|)",
        "(what is|what's) the capital of (france|spain|italy|germany|japan|peru|egypt|{city})",
        "translate (this|it|hello|{foreign}) (to|into) (french|spanish|german|latin|chinese)",
        "(what|which) (breed|kind|brand|species|type) (is|of) the {foreign}",
        "what is the {person} (doing|wearing|holding|saying|looking at)",
        "(where|when) was this (photo|picture) taken",
        "who (is|are) (in|on) (this|the) photo",
        "how (old|tall|heavy|expensive) is the {foreign}",
        "what does the (text|sign|label|writing) say",
        "(do you|can you) (like|eat|speak|drive|feel|love|buy) {foreign}",
        "(what|how) (do|does) (a|the) {foreign} (eat|cost|mean|work|look like)",
        "(where|how) can i (buy|find|get|rent|repair|cook) (a|the|some) {foreign}",
        "(recommend|suggest) (me|) a (book|movie|restaurant|song|{foreign})",
        "(play|stop|pause|download) (some music|the video|a song|a game|the {foreign})",
        "(explain|define|what is) (gravity|love|quantum physics|democracy|the meaning of life|{foreign})",
        "why is the (sky|sea|grass|{foreign}) (so|) (blue|green|big|cold)",
        "how many {foreign}s are (there in the world|in {city}|in the {foreign})",
        "(set|start) (a timer|an alarm) for {number} minutes",
        "(call|text|email) my (mother|friend|boss|doctor)",
    ],
)
"""`{foreign}` is a noun without article, `{thing}` and `{things}` whole phrases."""
