"""Chat templates in the formats of public checkpoints."""

LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ('</s>' if message['role'] == 'assistant' else ' ') }}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""LLaVA 1.5 of llava-hf: all content as blocks, roles as plain text."""

INST = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}{{ '<image>\\n' }}"
    "{% else %}{{ content['text'] }}{% endif %}{% endfor %}{{ ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{% for content in message['content'] %}{{ ' ' + content['text'] }}"
    "{% endfor %}{{ eos_token }}{% else %}{{ raise_exception('only user and assistant turns') }}{% endif %}{% endfor %}"
)
"""LLaVA-NeXT on Mistral: `[INST]` is plain text, there is no system role, and the begin token is in the template."""

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}{{ '<image>\\n' }}{% else %}{{ content['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML, as LLaVA-OneVision and InternVL have it."""

QWEN_VL = (
    "{% if tools %}{{ '<|im_start|>system\\n' }}{% if messages[0].role == 'system' %}{{ messages[0].content if "
    "messages[0].content is string else messages[0].content[0].text }}{{ '\\n\\n' }}{% endif %}"
    "{{ '# Tools\\n\\nYou may call one or more functions.\\n<tools>' }}"
    "{% for tool in tools %}{{ '\\n' + tool | tojson }}{% endfor %}"
    "{{ '\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\\n<tool_call>\\n"
    '{"name": <function-name>, "arguments": <args-json-object>}'
    "\\n</tool_call><|im_end|>\\n' }}{% endif %}{% for message in messages %}"
    "{% if not (message.role == 'system' and tools and loop.first) %}"
    "{% if message.role == 'tool' %}{{ '<|im_start|>user\\n<tool_response>\\n' }}"
    "{% else %}{{ '<|im_start|>' + message.role + '\\n' }}{% endif %}"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for content in message.content %}"
    "{% if content.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif 'text' in content %}{{ content.text }}{% endif %}{% endfor %}{% endif %}"
    "{% if message.role == 'tool' %}{{ '\\n</tool_response>' }}{% endif %}"
    "{% for call in message.tool_calls or [] %}{% if message.content or not loop.first %}{{ '\\n' }}{% endif %}"
    '{{ \'<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{ call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}"
    "{{ '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""Qwen2.5-VL and Qwen3-VL, with tools in Hermes' format and pictures in tools' results."""

SMOL = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
"""SmolVLM and Idefics 3: all content as blocks."""

MISTRAL = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ '[SYSTEM_PROMPT]' + (messages[0]['content'] "
    "if messages[0]['content'] is string else messages[0]['content'][0]['text']) + '[/SYSTEM_PROMPT]' }}{% endif %}"
    "{% if tools %}{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST]' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for block in message['content'] %}"
    "{% if block['type'] == 'text' %}{{ block['text'] }}{% else %}{{ '[IMG]' }}{% endif %}{% endfor %}{% endif %}"
    "{{ '[/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% elif message['content'] %}"
    "{{ message['content'][0]['text'] }}{% endif %}{% for call in message.tool_calls or [] %}"
    "{% if call.id | length != 9 %}{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}"
    "{% endif %}{{ '[TOOL_CALLS]' + call.function.name + '[ARGS]' + call.function.arguments | tojson }}{% endfor %}"
    "{{ eos_token }}{% elif message['role'] == 'tool' %}{{ '[TOOL_RESULTS]' + (message['content'] if "
    "message['content'] is string else message['content'][0]['text']) + '[/TOOL_RESULTS]' }}{% endif %}{% endfor %}"
)
"""Pixtral and Mistral 3, tokenizer version 11: control tokens for instructions, tools and their calls."""

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = (messages[0]['content'] if messages[0]"
    "['content'] is string else messages[0]['content'][0]['text']) + '\\n\\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}{% for message in rest %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' "
    "+ (first if loop.first else '') }}{% if message['content'] is string %}{{ message['content'] | trim }}"
    "{% else %}{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ '<start_of_image>' }}"
    "{% elif item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% endif %}"
    "{{ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
"""Gemma 3: the system message in the first user's turn, roles in turns, no tools."""

INTERNVL = CHATML.replace("<image>\\n", "<IMG_CONTEXT>\\n")
"""InternVL: ChatML with its own placeholder."""
