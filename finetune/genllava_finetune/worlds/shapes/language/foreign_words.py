"""Words for what does not exist in the domain: things, people, places, materials, colours, shapes."""

from __future__ import annotations

import random
from typing import Final

from genllava_finetune.worlds.shapes.scene import stable_hash

_ANIMALS: Final = ["dog", "cat", "horse", "cow", "pig", "sheep", "goat", "chicken", "duck", "goose", "rabbit", "mouse", "rat", "hamster", "lion", "tiger", "bear", "wolf", "fox", "deer", "elephant", "giraffe", "zebra", "monkey", "gorilla", "panda", "koala", "kangaroo", "camel", "donkey", "llama", "bird", "eagle", "owl", "parrot", "penguin", "swan", "crow", "pigeon", "fish", "shark", "whale", "dolphin", "octopus", "crab", "lobster", "turtle", "frog", "snake", "lizard", "crocodile", "dinosaur", "dragon", "unicorn", "spider", "ant", "bee", "butterfly", "mosquito", "snail", "worm", "squirrel", "hedgehog", "bat", "seal", "walrus", "otter", "beaver", "moose", "buffalo", "rhino", "hippo", "cheetah", "leopard", "puppy", "kitten", "pony", "lamb", "rooster", "turkey", "flamingo", "peacock", "seahorse", "jellyfish", "beetle", "ladybug", "dragonfly", "raccoon", "skunk"]
_NATURE: Final = ["tree", "flower", "rose", "tulip", "daisy", "sunflower", "grass", "bush", "forest", "jungle", "leaf", "mountain", "hill", "valley", "river", "lake", "sea", "ocean", "beach", "island", "desert", "waterfall", "volcano", "cave", "cloud", "sky", "sunset", "sunrise", "rainbow", "storm", "lightning", "snowflake", "snowman", "iceberg", "moon", "planet", "galaxy", "comet", "earth", "mushroom", "cactus", "palm", "garden", "meadow", "field", "pond", "rock", "stone", "fire", "campfire", "smoke", "rain", "fog"]
_FOOD: Final = ["apple", "banana", "cherry", "strawberry", "grape", "lemon", "pear", "peach", "pineapple", "watermelon", "mango", "coconut", "tomato", "carrot", "potato", "onion", "pepper", "cucumber", "pumpkin", "corn", "broccoli", "bread", "cake", "pizza", "burger", "sandwich", "cheese", "egg", "pancake", "cookie", "donut", "chocolate", "candy", "icecream", "coffee", "tea", "beer", "wine", "juice", "soup", "salad", "pasta", "rice", "sushi", "taco", "steak", "sausage", "croissant", "muffin", "pie", "cupcake"]
_VEHICLES: Final = ["car", "truck", "bus", "train", "tram", "bicycle", "motorcycle", "scooter", "plane", "helicopter", "rocket", "spaceship", "boat", "ship", "submarine", "canoe", "tractor", "ambulance", "taxi", "van", "jeep", "sailboat", "balloon", "drone", "tank", "wagon", "sled", "skateboard", "limousine", "firetruck", "bulldozer"]
_PLACES: Final = ["house", "castle", "church", "tower", "bridge", "barn", "cabin", "tent", "skyscraper", "hotel", "school", "hospital", "library", "museum", "temple", "pyramid", "lighthouse", "windmill", "factory", "farm", "village", "city", "street", "road", "park", "playground", "stadium", "airport", "station", "market", "kitchen", "bedroom", "bathroom", "office", "classroom", "fence", "gate", "wall", "door", "window", "roof", "stairs", "fountain", "statue", "igloo", "palace", "cottage"]
_PEOPLE: Final = ["man", "woman", "boy", "girl", "baby", "child", "person", "doctor", "nurse", "teacher", "farmer", "policeman", "firefighter", "soldier", "pirate", "king", "queen", "prince", "princess", "knight", "wizard", "witch", "astronaut", "clown", "chef", "dancer", "singer", "actor", "president", "scientist", "robot", "alien", "ghost", "vampire", "zombie", "mermaid", "angel", "elf", "fairy", "ninja", "cowboy", "superhero", "mother", "father", "grandmother", "family", "crowd", "face", "hand", "eye", "smile", "portrait", "hero", "samurai", "viking", "sailor", "painter"]
_OBJECTS: Final = ["chair", "table", "sofa", "bed", "lamp", "clock", "mirror", "shelf", "book", "pen", "pencil", "notebook", "newspaper", "letter", "envelope", "map", "key", "lock", "hammer", "saw", "screwdriver", "wrench", "nail", "knife", "fork", "spoon", "plate", "cup", "glass", "bottle", "bowl", "pot", "pan", "oven", "fridge", "television", "radio", "phone", "laptop", "computer", "keyboard", "camera", "guitar", "piano", "violin", "drum", "trumpet", "flute", "hat", "shirt", "dress", "skirt", "jacket", "coat", "shoe", "boot", "sock", "glove", "scarf", "belt", "tie", "ring", "necklace", "crown", "sword", "shield", "gun", "bow", "helmet", "ball", "kite", "doll", "puzzle", "toy", "gift", "box", "bag", "basket", "umbrella", "candle", "vase", "painting", "carpet", "curtain", "pillow", "blanket", "towel", "soap", "brush", "comb", "scissors", "needle", "rope", "chain", "anchor", "compass", "telescope", "microscope", "flag", "medal", "trophy", "coin", "wallet", "suitcase", "backpack", "ladder", "bucket", "broom", "shovel", "rake", "wheel", "engine", "battery", "bulb", "magnet", "windowpane", "calendar", "logo", "sign", "banner", "poster", "barcode", "emoji", "icon", "chart", "graph", "diagram"]
_COLORS: Final = ["brown", "magenta", "teal", "maroon", "navy", "turquoise", "violet", "indigo", "gold", "silver", "bronze", "olive", "lime", "lavender", "crimson", "scarlet", "salmon", "khaki", "tan", "ivory", "rainbow-colored", "transparent", "striped", "dotted", "checkered", "glowing", "shiny", "wooden", "metallic"]
_SHAPES: Final = ["hexagon", "pentagon", "octagon", "oval", "ellipse", "heart", "arrow", "line", "spiral", "cube", "sphere", "cylinder", "cone", "pyramid", "trapezoid", "parallelogram", "crescent", "semicircle", "ring", "zigzag", "curve", "dot", "grid", "polygon", "torus", "prism", "wave", "checkerboard", "maze", "fractal", "letter", "digit", "word", "number", "smiley", "asterisk", "lozenge", "kite", "helix", "arc"]
_ADJECTIVES: Final = ["fluffy", "old", "young", "happy", "sad", "angry", "sleepy", "cute", "ugly", "tall", "short", "fat", "thin", "fast", "slow", "beautiful", "strange", "realistic", "dark", "bright", "shiny", "broken", "wooden", "golden", "magic", "flying", "running", "sleeping", "smiling", "dancing", "giant", "furry", "wild", "modern", "ancient", "little", "big", "red", "blue", "green", "yellow", "orange", "purple", "pink", "black", "white", "gray", "large", "small", "round", "square"]
_SCENERY: Final = """in a forest|on a hill|at the beach|in the rain|under a tree|on the moon|in a city|with a hat|with big eyes|
at night|in the snow|next to a house|on a chair|on a red sofa|in space|by the sea|with wings|riding a bicycle|eating an apple|
in front of a mountain|on a table|wearing sunglasses|holding a flag|at sunset|in the style of van gogh|in watercolor|
like a photo|in a garden|with a blue hat|on a green field|in the sky|on white snow|under a black cloud""".replace(
    "\n", ""
).split("|")
_ONSETS: Final = ["b", "bl", "br", "c", "ch", "cl", "cr", "d", "dr", "f", "fl", "fr", "g", "gl", "gr", "h", "j", "k", "kl", "kr", "l", "m", "n", "p", "pl", "pr", "qu", "r", "s", "sh", "sk", "sl", "sm", "sn", "sp", "st", "t", "th", "tr", "tw", "v", "w", "z"]
_VOWELS: Final = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "oo", "ou"]
_CODAS: Final = ["b", "ck", "d", "ff", "g", "l", "ll", "m", "mp", "n", "nd", "ng", "nk", "p", "r", "rk", "rt", "s", "sh", "sk", "t", "tch", "x", "z"]

NOUNS: Final = tuple(dict.fromkeys([*_ANIMALS, *_NATURE, *_FOOD, *_VEHICLES, *_PLACES, *_PEOPLE, *_OBJECTS]))
PEOPLE: Final = tuple(_PEOPLE)
COLORS: Final = tuple(_COLORS)
SHAPES: Final = tuple(_SHAPES)
ADJECTIVES: Final = tuple(_ADJECTIVES)
SCENERY: Final = tuple(_SCENERY)
HELD_OUT_SHARE: Final = 20
"""Percent of these words that no training text uses."""


def is_held_out_word(word: str) -> bool:
    return stable_hash("word:" + word) % 100 < HELD_OUT_SHARE


def only(words: tuple[str, ...], held_out: bool) -> tuple[str, ...]:
    """The words of training, or the others."""
    return tuple(word for word in words if is_held_out_word(word) == held_out)


def pseudo_word(rng: random.Random) -> str:
    """A word that does not exist but could be said: what a model has never read is outside its domain as well."""
    word = ""
    for _ in range(rng.choice((1, 2, 2, 3))):
        word += rng.choice(_ONSETS) + rng.choice(_VOWELS)
    return word + rng.choice(_CODAS)
